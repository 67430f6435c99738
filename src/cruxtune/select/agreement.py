"""How far two sets of labels agree: Cohen's kappa, Jaccard, the share that changed. Pure counting."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from math import nan

import numpy as np


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two yes-or-no labels of the same things, counted: a table of two by two."""

    both: int = 0
    first_only: int = 0
    second_only: int = 0
    neither: int = 0

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "Agreement":
        """Count the labels of one and the other, thing by thing."""
        pairs = list(zip(first, second, strict=True))
        places = ((True, True), (True, False), (False, True), (False, False))
        return cls(*(pairs.count(place) for place in places))

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def count(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def num_changed(self) -> int:
        return self.first_only + self.second_only

    @property
    def flip_rate(self) -> float:
        """The share that the two label differently; nan where there is nothing."""
        return self.num_changed / self.count if self.count else nan

    @property
    def first_share(self) -> float:
        return (self.both + self.first_only) / self.count if self.count else nan

    @property
    def second_share(self) -> float:
        return (self.both + self.second_only) / self.count if self.count else nan

    @property
    def jaccard(self) -> float:
        """The common yes over the yes of either; 1 where neither says yes at all."""
        either = self.both + self.num_changed
        return self.both / either if either else 1.0

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960): agreement above chance; nan where chance alone would give all of it."""
        if not self.count:
            return nan
        chance = self.first_share * self.second_share + (1 - self.first_share) * (1 - self.second_share)
        return (1 - self.flip_rate - chance) / (1 - chance) if chance < 1 else nan


def bootstrap_interval(
    tables: Sequence[Agreement],
    statistic: Callable[[Agreement], float],
    seed: int = 0,
    num_samples: int = 1000,
) -> tuple[float, float]:
    """Where 95 % of a statistic lie when whole tables are drawn again, with replacement.

    One table a solution: labels within a solution depend on each other. Samples in which the statistic
    is not defined are left out; (nan, nan) where it never is.
    """
    if not tables:
        return nan, nan
    counts = np.array([astuple(table) for table in tables])
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(num_samples):
        drawn = counts[generator.integers(len(counts), size=len(counts))].sum(axis=0)
        values.append(statistic(Agreement(*drawn.tolist())))
    defined = [value for value in values if value == value]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined else (nan, nan)
    return float(low), float(high)
