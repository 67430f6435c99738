"""Keys and values of what branches write, in memory that one cohort leaves to the next."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.stem import TrunkStem


class Memory:
    """Blocks that were given back, to be taken again: fresh pages cost more than what is written into them.

    What a block holds is finite, old or zero: behind a mask it counts for nothing.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[Tensor]] = {}
        self._lent: dict[int, Tensor] = {}

    def take(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A block of that shape, of the type and on the device of `like`."""
        size = math.prod(shape)
        free = self._free.setdefault(_rounded(size), [])
        block = free.pop() if free else like.new_zeros(_rounded(size))
        self._lent[block.data_ptr()] = block
        return block[:size].view(shape)

    def give_back(self, block: Tensor) -> None:
        """For the next one."""
        whole = self._lent.pop(block.data_ptr())
        self._free[whole.numel()].append(whole)

    def clear(self) -> None:
        """Leave what is free to the system."""
        self._free.clear()


def _rounded(size: int) -> int:
    """The next of few sizes, at most a quarter larger, so that blocks fit again."""
    step = 1 << max(size.bit_length() - 3, 0)
    return max(-(-size // step) * step, 1)


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
