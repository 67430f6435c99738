"""How much goes into one forward pass: as much as the device does well and its memory holds."""

import torch

from cruxtune.errors import ModelError


class TooLittleMemory(ModelError):
    """A solution can't be opened now; it may be once branches have ended."""


CPU_TOKENS = 1024
GPU_TOKENS = 4096
"""Tokens in a pass from which on more of them take proportionally longer, on common machines."""
MEMORY_SHARE = 0.6
"""Of what is free, for the keys and values of branches; the rest is for trunks and activations."""


def good_number_of_tokens(device: torch.device) -> int:
    """Tokens in a pass on a device, where the recipe says nothing."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def is_out_of_memory(error: Exception) -> bool:
    """Whether something failed for want of memory: torch has no error type of its own for that on a CPU."""
    texts = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        text in str(error) for text in texts
    )
