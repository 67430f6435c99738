"""Ends of texts for `generate`: any tokenizer, any stop string, whether it is a special token or not."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from cruxtune.engines.engine import Decoding
from cruxtune.engines.texts import Ending
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
    """Ends a row once its text holds a stop string or is settled."""

    def __init__(self, tokenizer: Any, decoding: Decoding, prefixes: Sequence[TokenIds]) -> None:
        self._tokenizer = tokenizer
        self._decoding = decoding
        self._prefixes = prefixes
        self._endings: list[Ending] = []
        self._step = 0
        self._done: list[bool] = []

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Which rows have ended."""
        self._step += 1
        self._done = self._done or [False] * len(input_ids)
        if self._step % EVERY == 0:
            rows = input_ids[:, -self._step :].tolist()
            self._endings = self._endings or self._endings_of(len(rows))
            self._done = [
                done or ending.has_just_come(row, EVERY)
                for done, ending, row in zip(self._done, self._endings, rows, strict=True)
            ]
        return torch.tensor(self._done, device=input_ids.device)

    def _endings_of(self, num_rows: int) -> list[Ending]:
        prefixes = self._prefixes or [[]] * num_rows
        return [Ending(self._tokenizer, self._decoding, list(prefix)) for prefix in prefixes]
