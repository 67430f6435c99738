"""How a stage is run: for how long, which share of it, and where. What it writes doesn't depend on it."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cruxtune.errors import RecipeError

T = TypeVar("T")

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares of a stage: the parts whose number leaves `index` when divided by `count`."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise RecipeError(f"--shard {self.index}/{self.count}: there must be one shard or more")
        if not 0 <= self.index < self.count:
            raise RecipeError(
                f"--shard {self.index}/{self.count}: of {self.count} shards the first is 0/{self.count}, "
                f"the last {self.count - 1}/{self.count}"
            )

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a stage is run."""

    budget: float | None = None
    """Seconds after which it stops, cleanly."""
    shard: Shard | None = None
    """The share of the work that is done here."""
    num_workers: int | None = None
    """Processes of this machine that do the work, one engine each; None: this one does it."""
    on_ray: bool = False
    """Whether the work is done by actors of a Ray cluster."""
    began: float = 0.0
    """When the stage began, on the monotonic clock."""

    def from_now(self) -> "Terms":
        """The same terms for a stage that begins now."""
        return replace(self, began=time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.budget is not None and time.monotonic() - self.began >= self.budget

    def own(self, parts: Iterable[tuple[int, Sequence[T]]]) -> list[tuple[int, Sequence[T]]]:
        """The parts that are this shard's."""
        shard = self.shard
        return [part for part in parts if shard is None or part[0] % shard.count == shard.index]


WHOLE = Terms()
"""All of the work, here, however long it takes."""


def stopped_note(num_left: int, num_all: int, what: str) -> str:
    """What a stage says that stopped before its end and can't be used yet."""
    return f"stopped: {num_left:,} of {num_all:,} {what} are left; the same command goes on"


def parse_budget(text: str) -> float:
    """Seconds: `90s`, `30m`, `2h`, `1h30m`."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if found is None or not any(found.groups()):
        raise RecipeError(f"--budget {text}: write it as 90s, 30m, 2h or 1h30m")
    return sum(float(number or 0) * unit for number, unit in zip(found.groups(), UNITS.values(), strict=True))


def parse_shard(text: str) -> Shard:
    """`0/4` is the first of four."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None:
        raise RecipeError(f"--shard {text}: write it as 0/4, the first of four")
    return Shard(int(found[1]), int(found[2]))
