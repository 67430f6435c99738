"""The sweep: settings of training that are tried out, and the problems on which one of them is chosen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationError

from cruxtune.recipe.complaints import describe
from cruxtune.recipe.settings import Seed, Settings
from cruxtune.recipe.training import LOGGING, TrainSettings, require_whole_batches

BATCH_SIZES = (16, 32, 128)
FULL_RATES = (2e-6, 5e-6, 2e-5)
LORA_RATES = (2e-5, 5e-5, 2e-4)

_UNSAFE = re.compile(r"[^A-Za-z0-9.,=+_-]+")
Values = Annotated[tuple[Any, ...], Field(min_length=1)]
Grid = Mapping[str, tuple[Any, ...]]


class ValidationSection(Settings):
    """Problems held out of [problems]: never solved, annotated or trained on."""

    num_problems: PositiveInt
    seed: Seed = 0
    """Of the choice."""


class SweepSection(Settings):
    """Settings of training that are tried for each method; what is best on the held-out problems is taken."""

    grid: Literal["paper"] | Annotated[dict[str, Values], Field(min_length=1)] = "paper"
    """Values by setting, each with each; `paper`: batch sizes of 16, 32, 128 with learning rates of 2e-6,
    5e-6, 2e-5, or with LoRA 2e-5, 5e-5, 2e-4."""
    methods: tuple[str, ...] | None = None
    """Default: train.selections."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """Each point of the grid is trained with each of them."""

    def trials(self, settings: TrainSettings) -> "list[Trial]":
        """What to try for a method that has these settings otherwise, in the order of the grid."""
        grid = paper_grid(settings) if self.grid == "paper" else self.grid
        plain = settings.model_dump()
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        return [Trial(point, TrainSettings.model_validate(plain | point)) for point in points]

    def require_trainable(self, method: str, settings: TrainSettings) -> None:
        """Raises where a point of the grid can't be trained, or is there twice."""
        try:
            trials = self.trials(settings)
        except ValidationError as error:
            raise ValueError(f"sweep.grid: {describe(error, TrainSettings)}") from error
        names = [trial.name for trial in trials]
        if len(set(names)) < len(names):
            raise ValueError(f"sweep.grid has a point twice: {', '.join(names)}")
        for trial in trials:
            if logging := sorted(LOGGING & set(trial.point)):
                raise ValueError(f"sweep.grid varies {', '.join(logging)}, which changes no result")
            require_whole_batches(trial.settings, f"sweep.grid ({method}: {trial.name}): train")


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the grid."""

    point: Mapping[str, Any]
    """The settings that the grid varies, as they are written in the recipe."""
    settings: TrainSettings
    """All settings."""

    @property
    def name(self) -> str:
        """As the name of a directory: `batch_size=16,learning_rate=2e-06`."""
        return _UNSAFE.sub("_", ",".join(f"{key}={value}" for key, value in self.point.items()))


def paper_grid(settings: TrainSettings) -> Grid:
    """Of the CFT paper (training details of section 4)."""
    return {"batch_size": BATCH_SIZES, "learning_rate": LORA_RATES if settings.lora else FULL_RATES}
