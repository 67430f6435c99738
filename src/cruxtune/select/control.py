"""Controls: what a selection of the same size does when it is not the rule's."""

from collections.abc import Sequence

import numpy as np

Weights = list[float]
"""Of one solution's completion tokens."""


def all_tokens(num_tokens: int) -> Weights:
    """1 everywhere: plain SFT (CFT paper, eq. 1)."""
    return [1.0] * num_tokens


def random_tokens(matched: Sequence[Weights], seed: int) -> list[Weights]:
    """As many tokens as `matched` selects over the whole set, drawn evenly from all of them."""
    lengths = [len(weights) for weights in matched]
    count = sum(weight > 0 for weights in matched for weight in weights)
    chosen = np.zeros(sum(lengths))
    chosen[np.random.default_rng(seed).choice(len(chosen), size=count, replace=False)] = 1.0
    pieces = np.split(chosen, np.cumsum(lengths)[:-1]) if lengths else []
    return [piece.tolist() for piece in pieces]
