"""Inspections from the log-probabilities that servers give: those of the best tokens, not of all."""

from collections.abc import Sequence
from heapq import nlargest

import numpy as np
from jaxtyping import Float

from cruxtune.engines.engine import Inspection
from cruxtune.records import TokenIds

Scores = dict[int, float]
"""Log-probabilities of the best tokens at one place, and of the token that stands there."""


def inspect_scores(
    scores: Sequence[Scores], completion_ids: TokenIds, top_k: int, vocab_size: int
) -> Inspection:
    """The model's view of each token.

    Entropies are exact where the scores cover the vocabulary. Elsewhere they count all that the scores leave
    out as one token: a lower bound, too small by at most the share left out times the log of its tokens.
    """
    best = [nlargest(max(top_k, 2), row.items(), key=lambda item: item[1]) for row in scores]
    pairs = np.array(best, dtype=np.float64).reshape(len(scores), max(top_k, 2), 2)
    ids, logprobs = pairs[:, :, 0].astype(np.int64), pairs[:, :, 1].astype(np.float32)
    own = [row[token_id] for row, token_id in zip(scores, completion_ids, strict=True)]
    return Inspection(
        top_ids=ids[:, :top_k],
        top_probs=np.exp(logprobs[:, :top_k]),
        token_probs=np.exp(np.array(own, dtype=np.float32)),
        entropies=np.array([_entropy(row, vocab_size) for row in scores], dtype=np.float32),
        margins=logprobs[:, 0] - logprobs[:, 1],
    )


def _entropy(row: Scores, vocab_size: int) -> float:
    """In nats; what the row leaves out counts as one token."""
    logprobs: Float[np.ndarray, " scored"] = np.array(list(row.values()), dtype=np.float64)
    probs = np.exp(logprobs)
    rest = 1.0 - probs.sum() if len(row) < vocab_size else 0.0
    return float(-(probs * logprobs).sum() - (rest * np.log(rest) if rest > 0 else 0.0))
