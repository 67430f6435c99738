"""Train: one checkpoint a selection and seed, all from the same base (eq. 8)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Example, Solution
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.select import read_weights, select_manifest
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete
from cruxtune.train import make_examples
from cruxtune.train.processes import is_main_process


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run: which weights, which seed."""

    selection: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.selection}-seed{self.seed}"


def train(recipe: Recipe) -> StageResult:
    """Write one directory a run, `train/<selection>-seed<seed>/`, with its checkpoint in `model/`."""
    space = Workspace(recipe)
    runs = training_runs(recipe)
    wanted = {run: train_manifest(space, run) for run in runs}
    missing = [run for run in runs if not is_complete(space.path("train", run.name), wanted[run])]
    if missing:
        solutions = annotated_solutions(space)
        for run in missing:
            _train(space, run, wanted[run], solutions)
    directories = {run: space.path("train", run.name) for run in runs}
    return StageResult(tuple(directories.values()), tuple(directories[run] for run in missing))


def training_runs(recipe: Recipe) -> list[Run]:
    """All runs of the recipe, selection by selection."""
    return [Run(selection, seed) for selection in recipe.train.selections for seed in recipe.train.seeds]


def train_manifest(space: Workspace, run: Run) -> Manifest:
    """What a run's directory must have been made from."""
    section = space.recipe.train.of(run.selection)
    excluded = {"selections", "seeds", "objectives", "monitor_every", "report_to", "save_every"}
    settings = {
        "model": space.numerics(),
        "train": section.model_dump(mode="json", exclude=excluded),
        "run": {"selection": run.selection, "seed": run.seed},
    }
    inputs = {
        space.path("solve"): solve_manifest(space),
        space.path("select", run.selection): select_manifest(space, run.selection),
    }
    return space.manifest("train", settings, inputs)


def _train(space: Workspace, run: Run, wanted: Manifest, solutions: Sequence[Solution]) -> None:
    recipe = space.recipe
    examples = make_examples(solutions, read_weights(space, run.selection), recipe.train.max_length)
    directory = space.path("train", run.name)
    if not is_main_process():
        _finetune(space, run, examples, directory)
        return
    with StageWriter(directory, wanted) as writer:
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
    settings = recipe.train.of(run.selection)
    model, tokenizer = load_both(
        space.model,
        trust_remote_code=recipe.model.trust_remote_code,
        dtype=recipe.model.dtype,
        device=recipe.engine.device,
        attn_implementation=recipe.model.attn_implementation,
    )
    with progress_bar(f"train {run.name}", num_steps(recipe, len(examples))) as bar:
        return finetune(model, tokenizer, examples, settings, run.seed, directory, [StepBar(bar)])


def num_steps(recipe: Recipe, num_examples: int) -> int:
    """Optimizer steps of a run."""
    steps_per_epoch = -(-num_examples // recipe.train.batch_size)
    return math.ceil(steps_per_epoch * recipe.train.num_epochs)
