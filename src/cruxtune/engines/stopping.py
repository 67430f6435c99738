"""Ends of texts for `generate`: any tokenizer, any stop string, whether it is a special token or not."""

from typing import Any

import torch
from transformers import StoppingCriteria

from cruxtune.engines.engine import Decoding

EVERY = 8
"""Steps between two looks at the texts. What is written past the end is cut off later."""


def stopping_criteria(tokenizer: Any, decoding: Decoding) -> list[StoppingCriteria] | None:
    """What ends a row before its limit, besides stop tokens."""
    if not decoding.stop and decoding.is_settled is None:
        return None
    return [TextEnd(tokenizer, decoding)]


class TextEnd(StoppingCriteria):
    """Ends a row once its text holds a stop string or is settled.

    Stop strings are looked for in the last tokens only. A text counts as settled by what a row has written
    itself: the prefix of a branch is not seen here, so that some rows are written further than needed.
    """

    def __init__(self, tokenizer: Any, decoding: Decoding) -> None:
        self._tokenizer = tokenizer
        self._decoding = decoding
        self._window = EVERY + max((len(string.encode()) for string in decoding.stop), default=0)
        self._step = 0
        self._done: list[bool] = []

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Which rows have ended; a token is at least a byte, so a stop string lies within the window."""
        self._step += 1
        self._done = self._done or [False] * len(input_ids)
        if self._step % EVERY == 0:
            rows = input_ids[:, -self._step :].tolist()
            self._done = [done or self._has_ended(row) for done, row in zip(self._done, rows, strict=True)]
        return torch.tensor(self._done, device=input_ids.device)

    def _has_ended(self, ids: list[int]) -> bool:
        is_settled = self._decoding.is_settled
        if is_settled and is_settled(self._tokenizer.decode(ids, skip_special_tokens=True)):
            return True
        text = self._tokenizer.decode(ids[-self._window :], skip_special_tokens=False)
        return any(string in text for string in self._decoding.stop)
