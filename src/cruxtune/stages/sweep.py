"""Sweep: try settings of training for each method, and choose what is best on held-out problems."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from math import nan

from cruxtune.errors import RecipeError
from cruxtune.progress import Bar, progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.sweep import Trial
from cruxtune.records import Response
from cruxtune.report.results import score
from cruxtune.report.trials import TrialRow, best_of, make_row, rows_as_json, rows_as_markdown
from cruxtune.stages.crew import open_crew
from cruxtune.stages.evaluate import Target, write_responses
from cruxtune.stages.resources import verify_settings
from cruxtune.stages.runs import (
    CHOICE,
    SWEEP,
    Run,
    checkpoint_of,
    choice_manifest,
    train_manifest,
    trial_of,
    validation_settings,
)
from cruxtune.stages.terms import WHOLE
from cruxtune.stages.train import make_runs, missing_runs, require_all
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, forget_other, holds, read_manifest, read_records
from cruxtune.store.files import write_json, write_text
from cruxtune.train.processes import is_main_process

WAITING_SECONDS = 1.0
"""Between looks at what the main process does alone."""

Attempt = tuple[Trial, list[Run]]
"""A point of the grid, and its runs with all seeds."""


def sweep(recipe: Recipe) -> StageResult:
    """Write `sweep/<method>/` with what was chosen, and `sweep/sweep.md` and `.json` with all runs."""
    if not recipe.sweep:
        raise RecipeError("the recipe has no [sweep]: add one, with grid = 'paper' or a grid of your own")
    space, methods = Workspace(_greedily(recipe)), in_order(recipe)
    _require_no_test_set(space)
    num_runs = sum(len(_trials(recipe, method)) for method in methods) * len(recipe.sweep.seeds)
    with progress_bar("sweep", num_runs, _num_done(space)) as bar:
        made = [method for method in methods if sweep_method(space, method, bar)]
    if is_main_process():
        rows = read_trials(recipe)
        write_json(space.path(SWEEP, "sweep.json"), rows_as_json(rows))
        write_text(space.path(SWEEP, "sweep.md"), rows_as_markdown(rows))
    directories = {method: space.path(SWEEP, method) for method in methods}
    return StageResult(tuple(directories.values()), tuple(directories[method] for method in made))


def in_order(recipe: Recipe) -> list[str]:
    """The methods that are swept, each behind those whose checkpoints it starts from."""
    return [method for method in recipe.train.trained if method in recipe.swept]


def read_trials(recipe: Recipe, *methods: str) -> list[TrialRow]:
    """The rows of some methods, or of all that were swept; those that were chosen are marked."""
    files = [recipe.output_dir / SWEEP / method / CHOICE for method in methods or in_order(recipe)]
    trials = [json.loads(path.read_text(encoding="utf-8"))["trials"] for path in files]
    return [TrialRow.from_json(values) for rows in trials for values in rows]


def sweep_method(space: Workspace, method: str, bar: Bar) -> bool:
    """Try all points for one method and choose; False where that was done."""
    attempts = _attempts(space, method)
    target = space.path(SWEEP, method), choice_manifest(space, method)
    is_new = not holds(*target)
    for _, runs in attempts:
        for run in runs:
            bar.advance(_try(space, run))
    if is_main_process():
        if is_new:
            _choose(target, [_row(space, *attempt) for attempt in attempts])
        _drop_losers(space, method, attempts)
    _wait_for(target)
    return is_new


def _attempts(space: Workspace, method: str) -> list[Attempt]:
    """All runs of a method, checked; what they start from is trained."""
    sweep = space.recipe.sweep
    assert sweep is not None
    found = [
        (trial, [trial_of(space, method, seed, trial) for seed in sweep.seeds])
        for trial in _trials(space.recipe, method)
    ]
    runs = [run for _, same in found for run in same]
    make_runs(space, list(dict.fromkeys(earlier for run in runs for earlier in run.line[:-1])))
    require_all(space, missing_runs(space, runs))
    return found


def _try(space: Workspace, run: Run) -> int:
    """Train a run and let it answer the held-out problems; 0 where that was done, else 1."""
    make_runs(space, [run])
    target = run.directory(space).with_name("validation"), _validation_manifest(space, run)
    if holds(*target):
        return 0
    if is_main_process():
        with open_crew(space.recipe, checkpoint_of(space, run), WHOLE) as crew:
            write_responses(space, crew, space.validation_problems, target, f"validate {run.title}")
    _wait_for(target)
    return 1


def _validation_manifest(space: Workspace, run: Run) -> Manifest:
    settings = {
        "model": space.numerics(),
        "validation": validation_settings(space.recipe),
        "verify": verify_settings(space.recipe),
    }
    inputs = {run.directory(space): train_manifest(space, run)}
    return space.manifest("sweep", settings, inputs, space.validation_problems)


def _row(space: Workspace, trial: Trial, runs: Sequence[Run]) -> TrialRow:
    directories = [run.directory(space) for run in runs]
    scores = score([read_records(path.with_name("validation"), Response) for path in directories])
    losses = [read_manifest(path).counts.get("last_loss", nan) for path in directories]
    return make_row(runs[0].method, trial.point, scores, losses)


def _choose(target: Target, rows: Sequence[TrialRow]) -> None:
    directory, wanted = target
    best = best_of(rows)
    marked = [replace(row, is_chosen=row is best) for row in rows]
    forget_other(directory, wanted)  # where the grid has grown the choice is made again
    with StageWriter(directory, wanted) as writer:
        write_json(directory / CHOICE, {"chosen": best.point, "trials": rows_as_json(marked)})
        writer.finish({"num_trials": len(rows), "accuracy": best.accuracy.value}, directory / CHOICE)


def _drop_losers(space: Workspace, method: str, attempts: Sequence[Attempt]) -> None:
    """Checkpoints that weren't chosen go: they would fill a disk. What they answered stays."""
    chosen = [dict(row.point) for row in read_trials(space.recipe, method) if row.is_chosen]
    losers = [run for trial, runs in attempts if dict(trial.point) not in chosen for run in runs]
    for directory in (run.directory(space) for run in losers):
        if (directory / "model").is_dir():
            (directory / "model").rename(directory / ".model.gone")  # at once: never a part of a model
        shutil.rmtree(directory / ".model.gone", ignore_errors=True)


def _trials(recipe: Recipe, method: str) -> list[Trial]:
    assert recipe.sweep is not None
    return recipe.sweep.trials(recipe.train.of(method))


def _greedily(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"num_samples": 0})})


def _require_no_test_set(space: Workspace) -> None:
    """Raises where a question that settings would be chosen on is one of a benchmark's."""
    held_out = {problem.question for problem in space.validation_problems}
    for name, source in space.recipe.evaluate.benchmarks.items():
        if shared := [p.id for p in space.problems(source) if p.question in held_out]:
            raise RecipeError(
                f"{len(shared)} held-out problems, the first is {shared[0]}, are in "
                f"evaluate.benchmarks.{name} too: a sweep never chooses on a test set"
            )


def _num_done(space: Workspace) -> int:
    """Runs that an earlier call has finished, for the bar."""
    found = (Manifest.read(path) for path in space.path(SWEEP).glob("*/*/seed*/validation"))
    return sum(manifest is not None and manifest.complete for manifest in found)


def _wait_for(target: Target) -> None:
    """Until the main process has written it: that can take longer than a barrier waits."""
    while not is_main_process() and not holds(*target):
        time.sleep(WAITING_SECONDS)
