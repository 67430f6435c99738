"""How much goes into one forward pass: as much as the device does well and its memory holds."""

import logging

import torch

from cruxtune.errors import ModelError

logger = logging.getLogger(__name__)


class TooLittleMemory(ModelError):
    """A solution can't be opened now; it may be once branches have ended."""


CPU_TOKENS = 1024
GPU_TOKENS = 4096
"""Tokens in a pass from which on more of them take proportionally longer, on common machines."""
MEMORY_SHARE = 0.6
"""Of what is free, for the keys and values of branches; the rest is for trunks and activations."""


class PassSize:
    """Tokens in one pass: halved when memory runs out, doubled again when it has sufficed for a while."""

    def __init__(self, most: int, patience: int = 256) -> None:
        self.now = most
        self._most = most
        self._patience = patience
        """Passes after which more is tried; each failure makes it twice as many."""
        self._num_good = 0

    def shrink(self, num_under_way: int) -> None:
        """Memory ran out with so many branches under way; raises where one is too many."""
        if self.now == 1:
            raise ModelError("memory runs out even with a single branch: use a smaller dtype or model")
        self.now = max(min(self.now, num_under_way or self.now) // 2, 1)
        self._num_good, self._patience = 0, 2 * self._patience
        logger.warning("memory ran out: going on with %d tokens a pass", self.now)

    def grow(self) -> None:
        """A pass went well."""
        self._num_good += 1
        if self._num_good >= self._patience and self.now < self._most:
            self.now, self._num_good = min(2 * self.now, self._most), 0


def good_number_of_tokens(device: torch.device) -> int:
    """Tokens in a pass on a device, where the recipe says nothing."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def is_out_of_memory(error: Exception) -> bool:
    """Whether something failed for want of memory: torch has no error type of its own for that on a CPU."""
    texts = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        text in str(error).lower() for text in texts
    )
