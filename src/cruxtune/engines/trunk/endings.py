"""Texts that end before a stop token: which rows to look at, since a look costs more than a token."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from cruxtune.engines.engine import Decoding, Fork
from cruxtune.engines.texts import REPLACEMENT, Ending
from cruxtune.records import TokenIds

EVERY = 16
"""Tokens between two questions whether a text is settled."""


class Endings:
    """Finds the rows that have reached a stop token, a stop string, or a settled answer."""

    def __init__(
        self, tokenizer: Any, stop_token_ids: frozenset[int], vocabulary: int, decoding: Decoding
    ) -> None:
        self._tokenizer = tokenizer
        self._decoding = decoding
        self._stops = np.isin(np.arange(vocabulary), list(stop_token_ids))
        self._closes = _closing_tokens(tokenizer, vocabulary, decoding.stop)

    def at_stop_token(self, new: Int[np.ndarray, "rows width"]) -> Bool[np.ndarray, " rows"]:
        """Which rows have written one."""
        return self._stops[new].any(axis=1)

    def suspects(
        self,
        new: Int[np.ndarray, "rows width"],
        before: Int[np.ndarray, " rows"],
        after: Int[np.ndarray, " rows"],
    ) -> Bool[np.ndarray, " rows"]:
        """Which rows' texts may have ended with what they wrote between two lengths."""
        suspects = self._closes[new].any(axis=1)
        if self._decoding.is_settled is not None:
            suspects |= before // EVERY < after // EVERY
        return suspects

    def has_come(self, fork: Fork, ids: TokenIds, num_new: int) -> bool:
        """Whether the text of a row has ended with one of so many last tokens."""
        return Ending(self._tokenizer, self._decoding, fork.prefix).has_just_come(ids, num_new)


def _closing_tokens(
    tokenizer: Any, vocabulary: int, stop: tuple[str, ...]
) -> Bool[np.ndarray, " vocabulary"]:
    """The tokens that can complete a stop string: those with its last character, or with part of one."""
    if not stop:
        return np.zeros(vocabulary, dtype=bool)
    ends = {string[-1] for string in stop} | {REPLACEMENT}
    texts = tokenizer.batch_decode([[token_id] for token_id in range(min(vocabulary, len(tokenizer)))])
    closes = [not ends.isdisjoint(text) for text in texts]
    return np.array(closes + [True] * (vocabulary - len(closes)))
