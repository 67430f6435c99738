"""The alternatives of a position: which tokens are tried in place of the solution's own."""

from collections.abc import Iterable, Sequence

import numpy as np

from cruxtune.engines import Inspection
from cruxtune.records import Branch, Position


def branches_of(positions: Iterable[Position], k: int) -> list[Branch]:
    """The branches of rank 2 to k at every position, as they were stored."""
    return [
        Branch(position.position, rank, token_id, probability)
        for position in positions
        for rank, (token_id, probability) in enumerate(
            zip(position.alternative_ids[: k - 1], position.alternative_probs[: k - 1], strict=True), 2
        )
    ]


def alternatives(
    inspection: Inspection, ids: Sequence[int], k: int, left_out: frozenset[int] = frozenset()
) -> list[Branch]:
    """The k-1 most probable tokens other than the solution's own, at every position.

    In a greedy solution the own token is the most probable one, so that these are the 2nd to k-th.
    """
    return [
        Branch(position, rank, int(token_id), float(probability))
        for position, own in enumerate(ids)
        for rank, (token_id, probability) in enumerate(
            others_at(inspection, position, own, left_out)[: k - 1], 2
        )
    ]


def others_at(
    inspection: Inspection, position: int, own: int, left_out: frozenset[int]
) -> list[tuple[np.integer, np.floating]]:
    top = zip(inspection.top_ids[position], inspection.top_probs[position], strict=True)
    return [(token_id, p) for token_id, p in top if token_id != own and token_id not in left_out]
