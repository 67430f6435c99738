"""Stop strings for `generate`: any tokenizer, any string, whether it is a special token or not."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

EVERY = 8
"""Steps between two looks at the texts. What is written past a stop string is cut off later."""


class StopStrings(StoppingCriteria):
    """Ends a row once its text holds a stop string."""

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._window = EVERY + max(len(string.encode()) for string in stop)
        self._step = 0
        self._done: list[bool] = []

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Which rows have ended; a token is at least a byte, so a stop string lies within the window."""
        self._step += 1
        self._done = self._done or [False] * len(input_ids)
        if self._step % EVERY == 0:
            start = -min(self._window, self._step)
            rows = input_ids[:, start:].tolist()
            self._done = [done or self._holds_stop(row) for done, row in zip(self._done, rows, strict=True)]
        return torch.tensor(self._done, device=input_ids.device)

    def _holds_stop(self, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=False)
        return any(string in text for string in self._stop)
