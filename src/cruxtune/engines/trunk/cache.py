"""Keys and values of what branches write."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.capacity import Memory
from cruxtune.engines.trunk.stem import TrunkStem


def num_bytes(stem: TrunkStem, num_rows: int, capacity: int) -> int:
    """Memory that the cache of so many rows takes."""
    per_token = sum(like.shape[1] * like.shape[3] * like.itemsize for like in (stem.keys[0], stem.values[0]))
    return len(stem.keys) * per_token * num_rows * capacity


class Cache:
    """Keys and values of the rows of a cohort, growing with what they write."""

    keys: Float[Tensor, "layers rows capacity kv_heads dim"]
    values: Float[Tensor, "layers rows capacity kv_heads dim"]

    def __init__(self, stem: TrunkStem, num_rows: int, capacity: int, memory: Memory) -> None:
        self._memory = memory
        self.keys, self.values = (
            memory.take(like, (len(stem.keys), num_rows, capacity, like.shape[1], like.shape[3]))
            for like in (stem.keys[0], stem.values[0])
        )

    def reserve(self, length: int) -> None:
        """Room for `length` tokens a row."""
        if length > self.keys.shape[2]:
            self.keys, self.values = (
                self._moved(old, old.shape[1], length * 3 // 2) for old in (self.keys, self.values)
            )

    def shrink(self, num_rows: int) -> None:
        """Give memory back once most rows have gone."""
        if num_rows <= self.keys.shape[1] // 4:
            self.keys, self.values = (
                self._moved(old, num_rows, old.shape[2]) for old in (self.keys, self.values)
            )

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

    def _moved(self, old: Tensor, num_rows: int, capacity: int) -> Tensor:
        """The first rows in a block of their own; the old one is free."""
        layers, _, length, heads, dim = old.shape
        new = self._memory.take(old, (layers, num_rows, capacity, heads, dim))
        new[:, :, :length] = old[:, :num_rows]
        self._memory.give_back(old)
        return new
