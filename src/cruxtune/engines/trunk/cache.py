"""Keys and values of what branches write."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.capacity import Memory
from cruxtune.engines.trunk.stem import TrunkStem


def bytes_per_token(stem: TrunkStem) -> int:
    """Of one row's keys and values in all layers."""
    per_layer = sum(like.shape[1] * like.shape[3] * like.itemsize for like in (stem.keys[0], stem.values[0]))
    return len(stem.keys) * per_layer


CLEAN = 16
"""Columns that are made clean at a time."""


class Cache:
    """Keys and values of the rows of a cohort, growing with what they write.

    Columns that any row has reached are clean in all rows: what they hold is finite, written or zero, so that
    behind a mask it counts for nothing. Memory beyond is not touched.
    """

    keys: Float[Tensor, "layers rows capacity kv_heads dim"]
    values: Float[Tensor, "layers rows capacity kv_heads dim"]

    def __init__(self, stem: TrunkStem, num_rows: int, capacity: int, memory: Memory) -> None:
        self._memory = memory
        self.keys, self.values = (
            memory.take(like, (len(stem.keys), num_rows, capacity, like.shape[1], like.shape[3]))
            for like in (stem.keys[0], stem.values[0])
        )
        self._num_clean = 0

    def reserve(self, num_rows: int, length: int) -> None:
        """Room for `length` tokens in each of the first rows."""
        if length > self.keys.shape[2]:
            self._move(num_rows, num_rows, length * 3 // 2)
        if length > self._num_clean:
            end = min(length + CLEAN, self.keys.shape[2])
            for block in (self.keys, self.values):
                block[:, :num_rows, self._num_clean : end] = 0
            self._num_clean = end

    def shrink(self, num_rows: int) -> None:
        """Give memory back once most rows have gone, if it is wanted."""
        if self._memory.is_tight and num_rows <= self.keys.shape[1] // 4:
            self._move(num_rows, num_rows, self.keys.shape[2])

    def absorb(self, num_rows: int, other: "Cache", num_others: int) -> None:
        """Behind the first rows here, the first rows of another cache, which is given back."""
        total, capacity = num_rows + num_others, max(self.keys.shape[2], other._num_clean)
        if total > self.keys.shape[1] or capacity > self.keys.shape[2]:
            self._move(num_rows, total, capacity)
        if other._num_clean > self._num_clean:
            self.reserve(num_rows, other._num_clean)
        for own, theirs in ((self.keys, other.keys), (self.values, other.values)):
            own[:, num_rows:total, : other._num_clean] = theirs[:, :num_others, : other._num_clean]
            own[:, num_rows:total, other._num_clean : self._num_clean] = 0
        other.give_back()

    def give_back(self) -> None:
        for block in (self.keys, self.values):
            self._memory.give_back(block)

    def write(self, layer: int, row: Tensor, column: Tensor, key: Tensor, value: Tensor) -> None:
        """Keys and values [kv_heads, tokens, dim] of tokens, to their rows and columns."""
        self.keys[layer][row, column] = key.transpose(0, 1)
        self.values[layer][row, column] = value.transpose(0, 1)

    def move(self, sources: Int[np.ndarray, " rows"], targets: Int[np.ndarray, " rows"], length: int) -> None:
        """Copy the first `length` tokens of some rows to others."""
        source, target = (torch.as_tensor(rows, device=self.keys.device) for rows in (sources, targets))
        for cache in (self.keys, self.values):
            cache[:, target, :length] = cache[:, source, :length]

    def _move(self, num_kept: int, num_rows: int, capacity: int) -> None:
        """The first rows, in blocks of another size; the old ones are free."""
        self.keys, self.values = (
            self._moved(old, num_kept, num_rows, capacity) for old in (self.keys, self.values)
        )

    def _moved(self, old: Tensor, num_kept: int, num_rows: int, capacity: int) -> Tensor:
        layers, _, _, heads, dim = old.shape
        new = self._memory.take(old, (layers, num_rows, capacity, heads, dim))
        new[:, :num_kept, : self._num_clean] = old[:, :num_kept, : self._num_clean]
        self._memory.give_back(old)
        return new
