"""What one process is asked to measure, and what it found."""

import random
from dataclasses import dataclass, field

from cruxtune.records import Example

METHODS = {
    "ours": "Cruxtune",
    "nll": 'trl, `loss_type = "nll"`',
    "chunked_nll": 'trl, `loss_type = "chunked_nll"`',
    "full": "transformers' Trainer: all logits",
}
WARM_UP = 2
"""Steps that are not measured."""


@dataclass(frozen=True)
class Job:
    """Train a random model on random tokens, some of which have a weight of 1."""

    method: str
    hidden: int
    layers: int
    vocabulary: int
    length: int
    share: float
    """Of the tokens that have a weight."""
    batch: int
    micro_batch: int
    steps: int
    threads: int | None = None
    """Of torch; None: its own choice."""
    device: str = "cpu"
    bf16: bool = False

    @property
    def examples(self) -> list[Example]:
        """The same for every method."""
        rng = random.Random(0)
        return [self._example(rng) for _ in range(self.batch * (WARM_UP + self.steps))]

    def _example(self, rng: random.Random) -> Example:
        ids = [rng.randrange(self.vocabulary) for _ in range(self.length)]
        chosen = set(rng.sample(range(1, self.length), max(1, round(self.share * self.length))))
        return Example(ids, [float(position in chosen) for position in range(self.length)])


@dataclass(frozen=True)
class Outcome:
    seconds: list[float]
    """Of each measured step."""
    peak_gib: float | None
    """Of the process."""
    training_gib: float | None
    """Above what it held when the model was there and the first step had not begun."""
    losses: list[float] = field(repr=False)
    """Of every step."""
