"""What a step's loss is divided by: each example carries its part of the denominator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cruxtune.records import Example


@dataclass(frozen=True, slots=True)
class Row:
    """One example as the trainer reads it."""

    input_ids: list[int]
    loss_weights: list[float]
    denominator: float
    """Those of a step, over all micro-batches and processes, add up to what its loss is divided by."""


def by_step(examples: Sequence[Example]) -> list[Row]:
    """Every weight counts as much as any other of its step."""
    return [Row(e.input_ids, e.loss_weights, total_weight(e)) for e in examples]


def by_sequence(examples: Sequence[Example]) -> list[Row]:
    """Every sequence counts as much as any other; its weights share that out."""
    return [_of_sequence(example) for example in examples]


def by_set(examples: Sequence[Example]) -> list[Row]:
    """Every weight counts as much as any other of the whole set (CFT paper, eq. 8).

    A step holds some of the set's sequences: its denominator is what so many hold on average, and so
    the mean over the steps of an epoch, each counted by its sequences, is eq. 8.
    """
    mean = sum(map(total_weight, examples)) / len(examples)
    return [Row(e.input_ids, e.loss_weights, mean) for e in examples]


def total_weight(example: Example) -> float:
    """Of the tokens that can be predicted: all but the first."""
    return sum(example.loss_weights[1:])


def _of_sequence(example: Example) -> Row:
    total = total_weight(example)
    if not total:
        return Row(example.input_ids, example.loss_weights, 0.0)
    return Row(example.input_ids, [weight / total for weight in example.loss_weights], 1.0)


NORMALISERS: dict[str, Callable[[Sequence[Example]], list[Row]]] = {
    "step": by_step,
    "sequence": by_sequence,
    "set": by_set,
}
