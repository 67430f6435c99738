"""Drafts: what a branch will probably say next, looked up in the original solution.

A branch follows its solution until it says something else; then its last two tokens are looked for in the
solution, and the draft goes on after them (prompt look-up decoding, Saxena 2023; here the text that is looked
up in is the one that the branch left).
"""

import numpy as np
from jaxtyping import Int

from cruxtune.records import TokenIds

NOWHERE = -1
"""The place of a branch that doesn't follow its solution."""


class DraftIndex:
    """Where each pair of tokens of a solution is followed by what."""

    def __init__(self, ids: TokenIds, vocabulary: int) -> None:
        self.ids: Int[np.ndarray, " tokens"] = np.asarray(ids, dtype=np.int64)
        self._vocabulary = vocabulary
        self._span = len(ids) + 1
        pairs = self._pairs(self.ids[:-1], self.ids[1:])
        self._keys = np.sort(pairs * self._span + np.arange(2, len(ids) + 1))

    def follow(
        self,
        before: Int[np.ndarray, " rows"],
        last: Int[np.ndarray, " rows"],
        nearby: Int[np.ndarray, " rows"],
    ) -> Int[np.ndarray, " rows"]:
        """The place after the pair (before, last) in the solution: the first one from `nearby` on, else the
        last one before it, else NOWHERE."""
        if not len(self._keys):
            return np.full(len(last), NOWHERE)
        pairs = self._pairs(before, last)
        at = np.searchsorted(self._keys, pairs * self._span + np.maximum(nearby, 0))
        after = self._keys[np.minimum(at, len(self._keys) - 1)]
        earlier = self._keys[np.maximum(at - 1, 0)]
        place = np.where(earlier // self._span == pairs, earlier % self._span, NOWHERE)
        place = np.where(after // self._span == pairs, after % self._span, place)
        return np.where(place < len(self.ids), place, NOWHERE)

    def _pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first * self._vocabulary + second
