"""Train: one checkpoint a method and seed, from the base or from another method's checkpoint (eq. 8)."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cruxtune.models import ModelFiles
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.training import TrainSettings
from cruxtune.records import Example
from cruxtune.stages.rewriting import Texts
from cruxtune.stages.select import read_weights, select_manifest
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, require_intact
from cruxtune.train import make_examples
from cruxtune.train.processes import is_main_process, wait_for_everyone


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run: which method, which seed."""

    method: str
    seed: int
    before: "Run | None" = None
    """Whose checkpoint it starts from; the base model where there is none."""

    @property
    def name(self) -> str:
        return f"{self.method}-seed{self.seed}"


def train(recipe: Recipe) -> StageResult:
    """Write one directory a run, `train/<method>-seed<seed>/`, with its checkpoint in `model/`."""
    space = Workspace(recipe)
    runs = runs_to_train(recipe)
    missing = missing_runs(space, runs)
    examples = examples_by_method(space, dict.fromkeys(run.method for run in missing))
    for run in missing:
        _train(space, run, examples[run.method])
        wait_for_everyone()
    directories = {run: space.path("train", run.name) for run in runs}
    return StageResult(tuple(directories.values()), tuple(directories[run] for run in missing))


def training_runs(recipe: Recipe) -> list[Run]:
    """The runs that are evaluated, method by method."""
    return [run_of(recipe, method, seed) for method in recipe.train.selections for seed in recipe.train.seeds]


def runs_to_train(recipe: Recipe) -> list[Run]:
    """The same, each behind those whose checkpoints it starts from; what several start from is there once."""
    return list(dict.fromkeys(earlier for run in training_runs(recipe) for earlier in line_of(run)))


def run_of(recipe: Recipe, method: str, seed: int) -> Run:
    """A method's run with a seed, and the runs before it."""
    run = None
    for name in recipe.train.line(method):
        run = Run(name, seed, run)
    assert run is not None
    return run


def line_of(run: Run) -> list[Run]:
    """A run behind those that come before it."""
    return [*(line_of(run.before) if run.before else ()), run]


def missing_runs(space: Workspace, runs: Sequence[Run]) -> list[Run]:
    """Those that are due; raises where a directory holds something else, before anything is trained.

    What comes after a run that is due can be told only when that is there.
    """
    missing: list[Run] = []
    for run in runs:
        if run.before in missing or not is_complete(
            space.path("train", run.name), train_manifest(space, run)
        ):
            missing.append(run)
    return missing


def train_manifest(space: Workspace, run: Run) -> Manifest:
    """What a run's directory must have been made from."""
    train = space.recipe.train
    selection = train.selection_of(run.method)
    excluded = {"monitor_every", "report_to", "save_every"}
    settings = {
        "model": space.numerics(),
        "train": train.of(run.method).model_dump(mode="json", exclude=excluded),
        "run": {"selection": selection, "seed": run.seed},
    }
    inputs = {
        space.path("solve"): solve_manifest(space),
        space.path("select", selection): select_manifest(space, selection),
    }
    if run.before:
        inputs[space.path("train", run.before.name)] = train_manifest(space, run.before)
    return space.manifest("train", settings, inputs)


def checkpoint_of(space: Workspace, run: Run | None) -> ModelFiles:
    """A run's model, whole as it was written; without a run the base model."""
    if run is None:
        return space.model
    directory = space.path("train", run.name)
    require_intact(directory)
    return ModelFiles(run.name, directory / "model")


def examples_by_method(space: Workspace, methods: Collection[str]) -> dict[str, list[Example]]:
    """What each method trains on; raises where training would trip over anything, before any step is made."""
    recipe, texts, found = space.recipe, Texts(space), {}
    for method in methods:
        settings, selection = recipe.train.of(method), recipe.train.selection_of(method)
        weights = read_weights(space, selection)
        found[method] = make_examples(texts.of(selection), weights, settings.max_length)
    return found


def _train(space: Workspace, run: Run, examples: Sequence[Example]) -> None:
    directory = space.path("train", run.name)
    if not is_main_process():
        _finetune(space, run, examples, directory)
        return
    with StageWriter(directory, train_manifest(space, run)) as writer:
        log = _finetune(space, run, examples, directory)
        files = sorted(path for path in (directory / "model").iterdir() if path.is_file())
        counts = {
            "num_examples": len(examples),
            "num_weighted_tokens": sum(w > 0 for e in examples for w in e.loss_weights),
            "num_steps": len(log),
            "first_loss": log[0]["loss"],
            "last_loss": log[-1]["loss"],
        }
        writer.finish(counts, *files, directory / "steps.jsonl")


def _finetune(
    space: Workspace, run: Run, examples: Sequence[Example], directory: Path
) -> list[dict[str, float]]:
    from cruxtune.engines.loading import load_both
    from cruxtune.train.finetune import finetune
    from cruxtune.train.log import StepBar

    recipe = space.recipe
    settings = recipe.train.of(run.method)
    model, tokenizer = load_both(
        checkpoint_of(space, run.before),
        trust_remote_code=recipe.model.trust_remote_code,
        dtype=recipe.model.dtype,
        device=recipe.engine.device,
        attn_implementation=recipe.model.attn_implementation,
    )
    with progress_bar(f"train {run.name}", num_steps(settings, len(examples))) as bar:
        return finetune(model, tokenizer, examples, settings, run.seed, directory, [StepBar(bar)])


def num_steps(settings: TrainSettings, num_examples: int) -> int:
    """Optimizer steps of a run."""
    steps_per_epoch = -(-num_examples // settings.batch_size)
    return math.ceil(steps_per_epoch * settings.num_epochs)
