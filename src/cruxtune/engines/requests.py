"""An engine over whatever answers requests in any order: vLLM, servers. It imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, runtime_checkable

from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, Stem, TakeFork
from cruxtune.engines.facts import ModelFacts
from cruxtune.engines.scores import Scores, inspect_scores
from cruxtune.engines.texts import finish
from cruxtune.errors import ModelError
from cruxtune.records import Completion, FinishReason, TokenIds

STRETCH = 128
"""Tokens between two looks at whether a text is settled."""


@dataclass(frozen=True, slots=True)
class Request:
    """A text to go on with, for so many tokens at most."""

    prompt_ids: TokenIds
    max_new_tokens: int
    decoding: Decoding
    stop_token_ids: frozenset[int]
    seed: int | None
    """Of the sampling; None where it is greedy."""


@runtime_checkable
class Backend(Protocol):
    """What writes the tokens."""

    max_in_flight: int
    """So many requests keep it busy."""

    def submit(self, number: int, request: Request) -> None:
        """Take a request; its answer comes out of `collect`."""
        ...

    def collect(self) -> list[tuple[int, TokenIds]]:
        """The answers that have come, at least one: the new tokens, a stop token included."""
        ...

    def score(self, ids: TokenIds, start: int, num_best: int) -> list[Scores]:
        """Log-probabilities of the token at `start` and of all that follow, and of the best at each."""
        ...

    def drop(self) -> None:
        """Forget all that was submitted."""
        ...


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


TakeText = Callable[[], Text | None]


class RequestEngine:
    """Keeps a backend full; `finish` says where each text ends, as for every engine."""

    def __init__(self, backend: Backend, tokenizer: Any, facts: ModelFacts, num_scored: int) -> None:
        self.backend = backend
        self.tokenizer = tokenizer
        self.stop_token_ids = facts.stop_token_ids
        self.context_length = facts.context_length
        self._vocab_size = facts.vocab_size
        self._num_scored = num_scored

    def generate(self, prompts: Sequence[TokenIds], decoding: Decoding) -> list[Completion]:
        """One completion a prompt, in their order; a prompt that fills the context gets an empty one."""
        texts = iter([self._text(number, prompt, decoding) for number, prompt in enumerate(prompts)])
        done = {
            text.number: completion
            for batch in self._run(lambda: next(texts, None), decoding)
            for text, completion in batch
        }
        return [done[number] for number in range(len(prompts))]

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion."""
        ids, start = prompt_ids + completion_ids, len(prompt_ids)
        if len(ids) > self.context_length:
            raise ModelError(
                f"a text of {len(ids)} tokens is longer than the model's context of {self.context_length}"
            )
        num_best = min(max(top_k, self._num_scored, 2), self._vocab_size)
        scores = self.backend.score(ids, start, num_best) if completion_ids else []
        return inspect_scores(scores, completion_ids, min(top_k, num_best), self._vocab_size)

    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Stem:
        """The completion and the model's view of it. Scoring it has filled the backend's prefix cache."""
        return Stem(prompt_ids, completion_ids, self.inspect(prompt_ids, completion_ids, top_k))

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """Forks go in as others come out, those of one solution together, so that caches serve them."""

        def take_text() -> Text | None:
            fork = take()
            return self._text_of(fork, decoding) if fork else None

        for batch in self._run(take_text, decoding):
            yield [(text.fork, completion) for text, completion in batch if text.fork]

    def _text(self, number: int, prompt: TokenIds, decoding: Decoding) -> Text:
        limit = min(decoding.max_new_tokens, self.context_length - len(prompt))
        return Text(prompt, max(limit, 0), number=number)

    def _text_of(self, fork: Fork, decoding: Decoding) -> Text:
        most = min(decoding.max_new_tokens, self.context_length - len(fork.stem.prompt_ids))
        return Text(
            fork.stem.prompt_ids, most - fork.branch.position, [fork.branch.token_id], fork.prefix, fork
        )

    def _run(self, take: TakeText, decoding: Decoding) -> Iterator[list[tuple[Text, Completion]]]:
        """All texts there are, as they end."""
        under_way: dict[int, Text] = {}
        numbers = count()
        try:
            while True:
                ended = self._refill(take, decoding, under_way, numbers)
                if not ended and not under_way:
                    return
                ended = ended or self._collect(decoding, under_way, numbers)
                if ended:
                    yield ended
        finally:
            self.backend.drop()

    def _refill(
        self, take: TakeText, decoding: Decoding, under_way: dict[int, Text], numbers: Iterator[int]
    ) -> list[tuple[Text, Completion]]:
        """Submit what there is room for; gives back the texts that had nothing to be written."""
        ended = []
        while len(under_way) < self.backend.max_in_flight and (text := take()):
            completion = self._finished(text, decoding)
            if completion:
                ended.append((text, completion))
            else:
                self._submit(text, decoding, under_way, numbers)
        return ended

    def _collect(
        self, decoding: Decoding, under_way: dict[int, Text], numbers: Iterator[int]
    ) -> list[tuple[Text, Completion]]:
        """Wait for answers; a text that has not ended goes back at once."""
        ended = []
        for number, new_ids in self.backend.collect():
            text = under_way.pop(number)
            if not new_ids:
                raise ModelError("the engine gave an answer without tokens; look at its log")
            text.ids += new_ids
            completion = self._finished(text, decoding)
            if completion:
                ended.append((text, completion))
            else:
                self._submit(text, decoding, under_way, numbers)
        return ended

    def _submit(
        self, text: Text, decoding: Decoding, under_way: dict[int, Text], numbers: Iterator[int]
    ) -> None:
        room = text.limit - len(text.ids)
        seed = None if decoding.is_greedy else _mixed(decoding.seed, text.number, len(text.ids))
        number = next(numbers)
        under_way[number] = text
        request = Request(
            prompt_ids=text.prompt_ids + text.prefix + text.ids,
            max_new_tokens=min(room, STRETCH) if decoding.is_settled else room,
            decoding=decoding,
            stop_token_ids=self.stop_token_ids,
            seed=seed,
        )
        self.backend.submit(number, request)

    def _finished(self, text: Text, decoding: Decoding) -> Completion | None:
        """The completion if the text has ended, of whatever the backend's reason to stop was."""
        ids = text.ids[: max(text.limit, 1)] if text.fork else text.ids[: text.limit]
        completion = finish(self.tokenizer, ids, self.stop_token_ids, decoding, text.prefix)
        has_ended = completion.finish_reason is not FinishReason.LENGTH or len(text.ids) >= text.limit
        return completion if has_ended else None


def _mixed(seed: int, number: int, position: int) -> int:
    """A seed of its own for every piece of every text."""
    return hash((seed, number, position)) % 2**62
