"""Exactly so many tokens: those of the highest scores, or drawn at random.

Of equal scores the earlier token comes first.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from jaxtyping import Bool, Float, Int

from cruxtune.errors import SelectionError

Scores = Float[np.ndarray, " tokens"]
Mask = Bool[np.ndarray, " tokens"]
"""Of all response tokens of the whole set, solution after solution."""
Counts = Int[np.ndarray, " groups"]


def count_of_share(share: float, num_tokens: int) -> int:
    """The whole number nearest to a share as it is written; a half goes up.

    >>> count_of_share(0.15, 10), count_of_share(0.145, 100)
    (2, 15)
    """
    return int((Decimal(str(share)) * num_tokens).to_integral_value(ROUND_HALF_UP))


def top_tokens(scores: Scores, lengths: Sequence[int], counts: Sequence[int]) -> Mask:
    """The tokens of highest score, `counts` of them in each group of `lengths` tokens."""
    if not np.isfinite(scores).all():
        raise SelectionError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not numbers: "
            "make the directory that they are from again"
        )
    chosen = np.zeros(len(scores), dtype=bool)
    start = 0
    for length, count in zip(lengths, counts, strict=True):
        order = np.argsort(-scores[start : start + length], kind="stable")
        chosen[start + order[:count]] = True
        start += length
    return chosen


def random_tokens(num_tokens: int, count: int, seed: int) -> Mask:
    """So many tokens, drawn evenly from all of them."""
    chosen = np.zeros(num_tokens, dtype=bool)
    chosen[np.random.default_rng(seed).choice(num_tokens, size=count, replace=False)] = True
    return chosen
