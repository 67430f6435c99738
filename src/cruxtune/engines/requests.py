"""An engine over whatever answers requests in any order: vLLM, servers. It imports no torch."""

from collections.abc import Iterator, Sequence
from typing import Any

from cruxtune.engines.backend import Backend
from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, Stem, TakeFork
from cruxtune.engines.facts import ModelFacts, require_room
from cruxtune.engines.scores import inspect_scores
from cruxtune.engines.traffic import Ended, TakeText, Text, Traffic
from cruxtune.records import Completion, TokenIds


class RequestEngine:
    """Generates, inspects and continues by requests to a backend."""

    def __init__(self, backend: Backend, tokenizer: Any, facts: ModelFacts, num_scored: int) -> None:
        self.backend = backend
        self.tokenizer = tokenizer
        self.stop_token_ids = facts.stop_token_ids
        self.context_length = facts.context_length
        self._vocab_size = facts.vocab_size
        self._num_scored = num_scored

    def generate(
        self, prompts: Sequence[TokenIds], decoding: Decoding, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """One completion a prompt, in their order; a prompt that fills the context gets an empty one."""
        texts = iter(
            [
                self._text(number, prompt, decoding, seeds[number] if seeds else None)
                for number, prompt in enumerate(prompts)
            ]
        )
        done = {
            text.number: completion
            for batch in self._run(lambda: next(texts, None), decoding)
            for text, completion in batch
        }
        return [done[number] for number in range(len(prompts))]

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion."""
        ids, start = prompt_ids + completion_ids, len(prompt_ids)
        require_room(len(ids), self.context_length)
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

    def _run(self, take: TakeText, decoding: Decoding) -> Iterator[list[Ended]]:
        return Traffic(self.backend, self.tokenizer, self.stop_token_ids, take, decoding).batches()

    def _text(self, number: int, prompt: TokenIds, decoding: Decoding, seed: int | None) -> Text:
        return Text(prompt, max(decoding.room(prompt, self.context_length), 0), number=number, seed=seed)

    def _text_of(self, fork: Fork, decoding: Decoding) -> Text:
        limit = 1 + max(fork.room(decoding, self.context_length), 0)
        return Text(fork.stem.prompt_ids, limit, [fork.branch.token_id], fork.prefix, fork)
