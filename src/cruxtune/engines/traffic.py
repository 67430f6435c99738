"""Texts on their way through a backend, for one call of an engine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cruxtune.engines.backend import Backend, Request
from cruxtune.engines.engine import Decoding, Fork
from cruxtune.engines.texts import finish
from cruxtune.errors import ModelError
from cruxtune.records import Completion, FinishReason, TokenIds

STRETCH = 128
"""Tokens between two looks at whether a text is settled."""


@dataclass(eq=False, slots=True)
class Text:
    """A completion under way."""

    prompt_ids: TokenIds
    limit: int
    """Most ids that it may have."""
    ids: TokenIds = field(default_factory=list)
    prefix: TokenIds = field(default_factory=list)
    """The part of a solution that the completion follows; not part of `ids`."""
    fork: Fork | None = None
    number: int = 0
    """Its place among the prompts of `generate`."""
    seed: int | None = None
    """Of its own; None where the seed of all and its place make one."""


TakeText = Callable[[], Text | None]
Ended = tuple[Text, Completion]


class Traffic:
    """Keeps a backend full; `finish` says where each text ends, whatever the backend's reason to stop was."""

    def __init__(
        self,
        backend: Backend,
        tokenizer: Any,
        stop_token_ids: frozenset[int],
        take: TakeText,
        decoding: Decoding,
    ) -> None:
        self._backend = backend
        self._tokenizer = tokenizer
        self._stop_token_ids = stop_token_ids
        self._take = take
        self._decoding = decoding
        self._under_way: dict[int, Text] = {}
        self._numbers = count()

    def batches(self) -> Iterator[list[Ended]]:
        """All texts there are, as they end."""
        try:
            while True:
                ended = self._refill()
                if not ended and not self._under_way:
                    return
                ended = ended or self._collect()
                if ended:
                    yield ended
        finally:
            self._backend.drop()

    def _refill(self) -> list[Ended]:
        """Submit what there is room for; gives back the texts that had nothing to be written."""
        ended: list[Ended] = []
        while len(self._under_way) < self._backend.max_in_flight and (text := self._take()):
            ended += self._send_on(text)
        return ended

    def _collect(self) -> list[Ended]:
        """Wait for answers; a text that has not ended goes back at once."""
        ended: list[Ended] = []
        for number, new_ids in self._backend.collect():
            text = self._under_way.pop(number)
            if not new_ids:
                raise ModelError("the engine gave an answer without tokens; look at its log")
            text.ids += new_ids
            ended += self._send_on(text)
        return ended

    def _send_on(self, text: Text) -> list[Ended]:
        """The text if it has ended; else it is submitted."""
        completion = finish(
            self._tokenizer, text.ids[: text.limit], self._stop_token_ids, self._decoding, text.prefix
        )
        if completion.finish_reason is not FinishReason.LENGTH or len(text.ids) >= text.limit:
            return [(text, completion)]
        self._submit(text)
        return []

    def _submit(self, text: Text) -> None:
        decoding, room, number = self._decoding, text.limit - len(text.ids), next(self._numbers)
        request = Request(
            prompt_ids=text.prompt_ids + text.prefix + text.ids,
            max_new_tokens=min(room, STRETCH) if decoding.is_settled else room,
            decoding=decoding,
            stop_token_ids=self._stop_token_ids,
            seed=None if decoding.is_greedy else self._seed(text),
        )
        self._under_way[number] = text
        self._backend.submit(number, request)

    def _seed(self, text: Text) -> int:
        if text.seed is not None:
            return _mixed(text.seed, 0, len(text.ids))
        return _mixed(self._decoding.seed, text.number, len(text.ids))


def _mixed(seed: int, number: int, position: int) -> int:
    """A seed of its own for every piece of every text."""
    return hash((seed, number, position)) % 2**62
