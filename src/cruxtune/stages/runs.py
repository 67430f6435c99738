"""The fine-tuning runs of a recipe: their settings, what they start from, what their directories must say."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cruxtune.models import ModelFiles
from cruxtune.recipe import Recipe
from cruxtune.recipe.sweep import Trial
from cruxtune.recipe.training import LOGGING, TrainSettings
from cruxtune.recipe.uses import OWN_SETS, sets_of
from cruxtune.stages.select import select_manifest
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import Workspace
from cruxtune.store import Manifest, read_manifest, require_intact, require_same

SWEEP = "sweep"
CHOICE = "choice.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run."""

    method: str
    seed: int
    selection: str
    settings: TrainSettings
    before: "Run | None" = None
    """Whose checkpoint it starts from; the base model where there is none."""
    trial: str | None = None
    """The point of the sweep's grid that it tries."""

    @property
    def name(self) -> str:
        return name_of(self.method, self.seed)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} {self.trial}" if self.trial else self.name

    def directory(self, space: Workspace) -> Path:
        if self.trial is None:
            return space.path("train", self.name)
        return space.path(SWEEP, self.method, self.trial, f"seed{self.seed}", "checkpoint")

    @property
    def line(self) -> "list[Run]":
        """This run behind those that come before it."""
        return [*(self.before.line if self.before else ()), self]


def name_of(method: str, seed: int) -> str:
    return f"{method}-seed{seed}"


def run_names(recipe: Recipe) -> dict[str, list[str]]:
    """By method: the runs that are evaluated."""
    train = recipe.train
    return {method: [name_of(method, seed) for seed in train.seeds] for method in train.selections}


def training_runs(space: Workspace) -> list[Run]:
    """All runs, each behind those whose checkpoints it starts from; what several start from is there once."""
    train = space.recipe.train
    runs = [run_of(space, method, seed) for method in train.selections for seed in train.seeds]
    return list(dict.fromkeys(earlier for run in runs for earlier in run.line))


def run_of(space: Workspace, method: str, seed: int) -> Run:
    """A method's run with the settings that the sweep has chosen for it, or else the recipe's."""
    return _run(space, method, seed, settings_of(space, method), None)


def trial_of(space: Workspace, method: str, seed: int, trial: Trial) -> Run:
    """The run that tries one point of the sweep's grid."""
    return _run(space, method, seed, trial.settings, trial.name)


def settings_of(space: Workspace, method: str) -> TrainSettings:
    """As the sweep has chosen, where it has to; raises where it hasn't yet."""
    settings = space.recipe.train.of(method)
    if method not in space.recipe.swept:
        return settings
    return TrainSettings.model_validate(settings.model_dump() | choice_of(space, method))


def choice_of(space: Workspace, method: str) -> dict[str, Any]:
    """What the sweep has chosen for a method."""
    directory = space.path(SWEEP, method)
    require_same(directory, choice_manifest(space, method))
    read_manifest(directory)
    require_intact(directory)
    found: dict[str, Any] = json.loads((directory / CHOICE).read_text(encoding="utf-8"))["chosen"]
    return found


def choice_manifest(space: Workspace, method: str) -> Manifest:
    """What a choice must have been made from: the grid, the problems, and all that the trials start from."""
    recipe = space.recipe
    assert recipe.sweep is not None
    settings = {
        "sweep": {"seeds": list(recipe.sweep.seeds), "points": _points(recipe, method)},
        "train": _results_of(recipe.train.of(method)),
        "selection": recipe.train.selection_of(method),
        "validation": validation_settings(recipe),
    }
    inputs: dict[Path, Manifest] = {}
    for seed in recipe.sweep.seeds:
        run = _run(space, method, seed, recipe.train.of(method), None)
        inputs |= _inputs(space, run)
    return space.manifest("sweep", settings, inputs, problems=space.validation_problems)


def validation_settings(recipe: Recipe) -> dict[str, Any]:
    """What the responses to held-out problems depend on, but for the model."""
    return {
        "prompt": recipe.prompt.model_dump(mode="json"),
        "max_new_tokens": recipe.evaluate.max_new_tokens,
    }


def train_manifest(space: Workspace, run: Run) -> Manifest:
    """What a run's directory must have been made from."""
    settings = {
        "model": space.numerics(),
        "train": _results_of(run.settings),
        "run": {"selection": run.selection, "seed": run.seed},
    }
    return space.manifest("train", settings, _inputs(space, run))


def checkpoint_of(space: Workspace, run: Run | None) -> ModelFiles:
    """A run's model, whole as it was written; without a run the base model."""
    if run is None:
        return space.model
    directory = run.directory(space)
    require_intact(directory)
    return ModelFiles(run.title, directory / "model")


def _run(space: Workspace, method: str, seed: int, settings: TrainSettings, trial: str | None) -> Run:
    train = space.recipe.train
    *_, before, _ = [None, *train.line(method)]
    earlier = run_of(space, before, seed) if before else None
    return Run(method, seed, train.selection_of(method), settings, earlier, trial)


def _inputs(space: Workspace, run: Run) -> dict[Path, Manifest]:
    inputs = {space.path("select", run.selection): select_manifest(space, run.selection)}
    if OWN_SETS[0] in sets_of(run.selection, space.recipe.select):
        inputs[space.path("solve")] = solve_manifest(space)
    if run.before:
        inputs[run.before.directory(space)] = train_manifest(space, run.before)
    return inputs


def _results_of(settings: TrainSettings) -> dict[str, Any]:
    """The settings that the weights depend on."""
    return settings.model_dump(mode="json", exclude=LOGGING)


def _points(recipe: Recipe, method: str) -> list[str]:
    assert recipe.sweep is not None
    return [trial.name for trial in recipe.sweep.trials(recipe.train.of(method))]
