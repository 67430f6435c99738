"""How much goes into one forward pass: as much as the device does well and its memory holds."""

import math

import torch
from torch import Tensor

CPU_TOKENS = 512
GPU_TOKENS = 4096
"""Tokens in a pass from which on more of them take proportionally longer, on common machines."""
MEMORY_SHARE = 0.6
"""Of what is free, for the keys and values of branches; the rest is for trunks and activations."""


def good_number_of_tokens(device: torch.device) -> int:
    """Tokens in a pass on a device, where the recipe says nothing."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for want of memory: a CPU has no error type of its own for that."""
    texts = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in texts)


class Memory:
    """Blocks that are given back and taken again: fresh pages cost more than what is written into them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes that may be lent at a time."""
        self.num_lent = 0
        """Bytes."""
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        self._lent: dict[int, Tensor] = {}

    @property
    def is_tight(self) -> bool:
        """Whether more than half of it is lent."""
        return self.num_lent > self.limit // 2

    def take(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A block of that shape, of the type and on the device of `like`; it may hold anything."""
        size = _rounded(math.prod(shape))
        free = self._free.setdefault((size, like.dtype), [])
        block = free.pop() if free else self._fresh(like, size)
        self._lent[block.data_ptr()] = block
        self.num_lent += block.nbytes
        return block[: math.prod(shape)].view(shape)

    def give_back(self, block: Tensor) -> None:
        """For the next one."""
        whole = self._lent.pop(block.data_ptr())
        self.num_lent -= whole.nbytes
        self._free[whole.numel(), whole.dtype].append(whole)

    def clear(self) -> None:
        """Leave what is not lent to the system."""
        self._free = {key: [] for key in self._free}
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fresh(self, like: Tensor, size: int) -> Tensor:
        num_free = sum(block.nbytes for blocks in self._free.values() for block in blocks)
        if self.num_lent + num_free + size * like.itemsize > self.limit:
            self.clear()
        return like.new_empty(size)


def _rounded(size: int) -> int:
    """The next of few sizes, at most a quarter larger, so that blocks fit again."""
    step = 1 << max(size.bit_length() - 3, 0)
    return max(-(-size // step) * step, 1)
