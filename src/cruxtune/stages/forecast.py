"""From a sample to a whole job: estimates with their uncertainty. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

Z = 1.96
"""Standard errors on each side that hold 95 %, for large samples."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far off it may be (95 %)."""

    value: float
    error: float = 0.0

    def __mul__(self, other: "Estimate | float") -> "Estimate":
        """The product of independent estimates."""
        other = other if isinstance(other, Estimate) else Estimate(other)
        error = sqrt((self.error * other.value) ** 2 + (other.error * self.value) ** 2)
        return Estimate(self.value * other.value, error)

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, sqrt(self.error**2 + other.error**2))

    @property
    def percent(self) -> str:
        """The error as a share of the value, in words."""
        if not isfinite(self.error):
            return "± unknown"
        return f"± {100 * self.error / self.value:.0f} %" if self.value else "± 0 %"


def ratio(measured: Sequence[float], expected: Sequence[float], num_all: int | None = None) -> Estimate:
    """How much is measured where one unit is expected: the ratio estimator over sampled units.

    `num_all` is how many units there are altogether: a sample of all of them leaves no doubt.
    """
    num, whole = len(measured), sum(expected)
    value = sum(measured) / whole
    if num_all == num:
        return Estimate(value)
    if num < 2:
        return Estimate(value, inf)
    squares = sum((y - value * x) ** 2 for y, x in zip(measured, expected, strict=True))
    left_out = 1 - num / num_all if num_all else 1.0
    return Estimate(value, width(num - 1) * sqrt(left_out * squares * num / (num - 1)) / whole)


def width(degrees: int) -> float:
    """Student's t at 97.5 %, by its expansion around the normal distribution (Cornish and Fisher, 1938).

    >>> [round(width(degrees), 2) for degrees in (2, 4, 9, 100)]
    [4.17, 2.77, 2.26, 1.98]
    """
    first, second, third = (Z**3 + Z) / 4, (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96, 2.56
    return Z + first / degrees + second / degrees**2 + third / degrees**3


def mean(values: Sequence[float], num_all: int | None = None) -> Estimate:
    """The mean of a population of which some were seen."""
    return ratio(values, [1.0] * len(values), num_all)


def total_of_some(seen: Sequence[float], count: int) -> Estimate:
    """The sum over so many others like those that were seen; these scatter too."""
    average = mean(seen)
    if len(seen) < 2:
        return average * count
    variance = sum((value - average.value) ** 2 for value in seen) / (len(seen) - 1)
    return Estimate(
        average.value * count, width(len(seen) - 1) * sqrt(variance * (count**2 / len(seen) + count))
    )


def formula_tokens(length: int, k: int) -> float:
    """Rollout tokens of a solution of that length if every counterfactual were as long: (k-1) T² / 2."""
    return (k - 1) * length * (length + 1) / 2
