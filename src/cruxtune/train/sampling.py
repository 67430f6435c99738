"""The order of the rows in each epoch: the same for any number of processes."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from cruxtune.train.normalising import Row

NOTHING = Row(input_ids=[0], loss_weights=[0.0], denominator=0.0)
"""A row that adds nothing to a loss. accelerate would repeat real ones to give every process as many."""


class EvenSampler(Sampler[int]):
    """All rows in random order, then NOTHING, the row behind them, until all processes are served."""

    def __init__(self, num_rows: int, num_fillers: int, seed: int) -> None:
        self._num_rows = num_rows
        self._num_fillers = num_fillers
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._num_rows + self._num_fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        yield from torch.randperm(self._num_rows, generator=generator).tolist()
        yield from [self._num_rows] * self._num_fillers

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader before every epoch."""
        self._epoch = epoch


def num_fillers(num_rows: int, micro_batch_size: int, num_processes: int) -> int:
    """How many rows are missing until every process has as many whole micro-batches.

    >>> num_fillers(7, 1, 2), num_fillers(7, 2, 4), num_fillers(7, 2, 1)
    (1, 1, 0)
    """
    return -num_rows % (micro_batch_size * num_processes) if num_processes > 1 else 0
