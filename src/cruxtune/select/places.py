"""Tokens by where they stand in their solution."""

from collections.abc import Sequence

import numpy as np

from cruxtune.select.ranking import Mask


def first_tokens(lengths: Sequence[int], count: int) -> Mask:
    """The first `count` tokens of each solution (UPFT, Ji et al., 2025)."""
    return np.concatenate([np.arange(length) < count for length in lengths])


def stop_tokens(lengths: Sequence[int], has_stopped: Sequence[bool]) -> Mask:
    """The last token of each solution that ended with a stop token."""
    ends = zip(lengths, has_stopped, strict=True)
    return np.concatenate([(np.arange(length) == length - 1) & stopped for length, stopped in ends])
