"""Train: one checkpoint a method and seed, from the base or from another method's checkpoint (eq. 8)."""

import math
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from cruxtune.errors import ArtifactError
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.training import TrainSettings
from cruxtune.records import Example
from cruxtune.stages.rewriting import Texts
from cruxtune.stages.runs import Run, checkpoint_of, train_manifest, training_runs
from cruxtune.stages.select import read_weights
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import StageWriter, is_complete, read_manifest
from cruxtune.train import make_examples
from cruxtune.train.processes import is_main_process, wait_for_everyone


def train(recipe: Recipe) -> StageResult:
    """Write one directory a run, `train/<method>-seed<seed>/`, with its checkpoint in `model/`."""
    space = Workspace(recipe)
    runs = training_runs(space)
    made = make_runs(space, runs)
    directories = [run.directory(space) for run in runs]
    return StageResult(tuple(directories), tuple(run.directory(space) for run in made))


def make_runs(space: Workspace, runs: Sequence[Run]) -> list[Run]:
    """Train those that are not there; raises where any would fail, before a step of the first is made."""
    wait_for_everyone()  # all processes look at the same files, none while another writes them
    missing = missing_runs(space, runs)
    wait_for_everyone()
    examples = require_all(space, missing)
    for run in missing:
        _make(space, run, examples[run])
        wait_for_everyone()
    return missing


def missing_runs(space: Workspace, runs: Sequence[Run]) -> list[Run]:
    """Those that are due; raises where a directory holds something else.

    What comes after a run that is due can be told only when that is there.
    """
    missing: list[Run] = []
    for run in runs:
        if run.before in missing or not is_complete(run.directory(space), train_manifest(space, run)):
            missing.append(run)
    return missing


def examples_of(space: Workspace, runs: Collection[Run]) -> dict[Run, list[Example]]:
    """What each run trains on, checked to be what it can be trained on."""
    texts = Texts(space)
    found: dict[tuple[str, int], list[Example]] = {}
    for run in runs:
        key = run.selection, run.settings.max_length
        if key not in found:
            solutions = texts.of(run.selection)
            if leaked := [s.problem_id for s in solutions if s.problem_id in space.held_out_ids]:
                raise ArtifactError(
                    f"{len(leaked)} solutions, the first of {leaked[0]}, are of problems that [validation] "
                    "holds out: they must not be trained on"
                )
            found[key] = make_examples(solutions, read_weights(space, run.selection), key[1])
    return {run: found[run.selection, run.settings.max_length] for run in runs}


def require_all(space: Workspace, runs: Sequence[Run]) -> dict[Run, list[Example]]:
    """What each run trains on; raises where any of them would fail."""
    examples = examples_of(space, runs)
    if runs:
        from cruxtune.engines.loading import load_outline
        from cruxtune.train.checking import require_trainable

        trusted = space.recipe.model.trust_remote_code
        require_trainable((run.settings for run in runs), lambda: load_outline(space.model, trusted))
    return examples


def _make(space: Workspace, run: Run, examples: Sequence[Example]) -> None:
    directory, twin = run.directory(space), twin_of(space, run)
    if not is_main_process():
        if twin is None:
            _finetune(space, run, examples, directory)
        return
    with StageWriter(directory, train_manifest(space, run)) as writer:
        counts = _copy(space, twin, directory) if twin else _train(space, run, examples, directory)
        files = sorted(path for path in (directory / "model").iterdir() if path.is_file())
        writer.finish(counts, *files, directory / "steps.jsonl")


def _train(space: Workspace, run: Run, examples: Sequence[Example], directory: Path) -> dict[str, float]:
    log = _finetune(space, run, examples, directory)
    losses = {"first_loss": log[0]["loss"], "last_loss": log[-1]["loss"]}
    return {
        "num_examples": len(examples),
        "num_weighted_tokens": sum(w > 0 for e in examples for w in e.loss_weights),
        "num_steps": len(log),
        **{name: loss for name, loss in losses.items() if math.isfinite(loss)},
    }


def twin_of(space: Workspace, run: Run) -> Run | None:
    """The sweep's run of the same settings and seed, where its checkpoint was kept."""
    recipe = space.recipe
    if run.trial or run.method not in recipe.swept or recipe.sweep is None:
        return None
    for trial in recipe.sweep.trials(recipe.train.of(run.method)):
        twin = replace(run, trial=trial.name)
        if trial.settings == run.settings and (twin.directory(space) / "model").is_dir():
            return twin if is_complete(twin.directory(space), train_manifest(space, twin)) else None
    return None


def _copy(space: Workspace, twin: Run, directory: Path) -> dict[str, float]:
    """What was trained is not trained again."""
    files, temporary = checkpoint_of(space, twin), directory / ".model.tmp"
    for path in (temporary, directory / "model"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(files.directory, temporary)
    temporary.rename(directory / "model")
    shutil.copyfile(twin.directory(space) / "steps.jsonl", directory / "steps.jsonl")
    if (events := twin.directory(space) / "tensorboard").is_dir():
        shutil.copytree(events, directory / "tensorboard", dirs_exist_ok=True)
    return read_manifest(twin.directory(space)).counts


def _finetune(
    space: Workspace, run: Run, examples: Sequence[Example], directory: Path
) -> list[dict[str, float]]:
    from cruxtune.engines.loading import load_both
    from cruxtune.train.finetune import finetune
    from cruxtune.train.log import StepBar

    recipe = space.recipe
    model, tokenizer = load_both(
        checkpoint_of(space, run.before),
        trust_remote_code=recipe.model.trust_remote_code,
        dtype=recipe.model.dtype,
        device=recipe.engine.device,
        attn_implementation=recipe.model.attn_implementation,
    )
    with progress_bar(f"train {run.title}", num_steps(run.settings, len(examples))) as bar:
        return finetune(model, tokenizer, examples, run.settings, run.seed, directory, [StepBar(bar)])


def num_steps(settings: TrainSettings, num_examples: int) -> int:
    """Optimizer steps of a run."""
    steps_per_epoch = -(-num_examples // settings.batch_size)
    return math.ceil(steps_per_epoch * settings.num_epochs)
