"""Ends of texts for `generate`: any tokenizer, any stop string, whether it is a special token or not."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from cruxtune.engines.engine import Decoding
from cruxtune.records import TokenIds

EVERY = 8
"""Steps between two looks at the texts. What is written past the end is cut off later."""


def stopping_criteria(
    tokenizer: Any, decoding: Decoding, prefixes: Sequence[TokenIds] | None = None
) -> list[StoppingCriteria] | None:
    """What ends a row before its limit, besides stop tokens.

    `prefixes` are what each row's text began with; without them it begins where the prompt ends.
    """
    if not decoding.stop and decoding.is_settled is None:
        return None
    return [TextEnd(tokenizer, decoding, prefixes or [])]


class TextEnd(StoppingCriteria):
    """Ends a row once its text holds a stop string or is settled.

    Stop strings are looked for in the last tokens only, and not in the prefix of a branch: some rows are
    written further than needed.
    """

    def __init__(self, tokenizer: Any, decoding: Decoding, prefixes: Sequence[TokenIds]) -> None:
        self._prefixes = prefixes
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
            prefixes = self._prefixes or [[]] * len(rows)
            self._done = [
                done or self._has_ended(prefix, row)
                for done, prefix, row in zip(self._done, prefixes, rows, strict=True)
            ]
        return torch.tensor(self._done, device=input_ids.device)

    def _has_ended(self, prefix: TokenIds, ids: TokenIds) -> bool:
        is_settled = self._decoding.is_settled
        if is_settled and is_settled(self._tokenizer.decode([*prefix, *ids], skip_special_tokens=True)):
            return True
        text = self._tokenizer.decode(ids[-self._window :], skip_special_tokens=False)
        return any(string in text for string in self._decoding.stop)
