"""What annotation costs, measured; and what all of it would cost where only some branches were measured."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from torch import nn


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one branch."""

    seconds: float
    forward_tokens: int


class Meter:
    """Counts the tokens that go through a model, padding included, and takes readings of single branches."""

    def __init__(self, model: nn.Module) -> None:
        self.clear()
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def clear(self) -> None:
        self.forward_tokens = 0
        self.readings: list[Reading] = []
        self.num_dropped = 0
        """Branches that nobody continued."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        began, before = time.perf_counter(), self.forward_tokens
        yield
        self.readings.append(Reading(time.perf_counter() - began, self.forward_tokens - before))

    def _count(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.forward_tokens += (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a sum."""

    total: float
    error: float
    """Its standard error."""


def scaled_up(total: float, sample: Sequence[float], num_all: int) -> Estimate:
    """What a total would be if it held all things instead of a sample of them; its other parts stay.

    The error is that of a random sample without replacement: an even spread is seldom worse.

    >>> scaled_up(10.0, [1.0, 3.0], 4)  # 6 besides the sample, 4 things of 2 ± 1 each, half of them measured
    Estimate(total=14.0, error=2.8284271247461903)
    """
    if len(sample) < 2:
        raise ValueError(f"a sample of {len(sample)} says nothing of its error: measure 2 branches or more")
    error = num_all * stdev(sample) / sqrt(len(sample)) * sqrt(1 - len(sample) / num_all)
    return Estimate(total - sum(sample) + num_all * mean(sample), error)
