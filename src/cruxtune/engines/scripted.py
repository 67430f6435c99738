"""An engine that recites: it ships so that whole pipelines can be tested without a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cruxtune.engines.engine import Continued, Decoding, Fork, Inspection, Stem, TakeFork
from cruxtune.engines.texts import finish
from cruxtune.records import Completion, TokenIds

Key = tuple[int, ...]


class ScriptedEngine:
    """Continues a text as the script says; the most probable token is the script's next one.

    `script` maps a text's ids (prompt and all) to what follows; `alternatives` maps it to the other tokens
    that the model would consider there, most probable first.
    """

    def __init__(
        self,
        tokenizer: Any,
        script: Mapping[Key, TokenIds],
        alternatives: Mapping[Key, Sequence[int]],
        stop_token_ids: frozenset[int],
    ) -> None:
        self.tokenizer = tokenizer
        self.stop_token_ids = stop_token_ids
        self.context_length = 2**31
        self.num_rollouts = 0
        """How many branches were continued: what lazy annotation saves."""
        self._script = script
        self._alternatives = alternatives

    def generate(
        self, prompts: Sequence[TokenIds], decoding: Decoding, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """The script's continuation of each prompt; the same whether greedy or sampled."""
        return [self._complete(prompt, decoding) for prompt in prompts]

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The completion's token first at 0.5, then the scripted alternatives at 0.25, 0.125, …

        Where the script names too few, the smallest other ids follow.
        """
        rows = []
        for index, token_id in enumerate(completion_ids):
            others = self._alternatives.get((*prompt_ids, *completion_ids[:index]), ())
            fillers = (other for other in range(top_k + len(others) + 1) if other not in {token_id, *others})
            rows.append([token_id, *others, *fillers][:top_k])
        length = len(completion_ids)
        probs = np.tile(0.5 ** np.arange(1, top_k + 1), (length, 1)).astype(np.float32)
        return Inspection(
            top_ids=np.array(rows, dtype=np.int64).reshape(length, top_k),
            top_probs=probs,
            token_probs=probs[:, 0],
            entropies=np.ones(length, dtype=np.float32),
            margins=np.ones(length, dtype=np.float32),
        )

    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Stem:
        return Stem(prompt_ids, completion_ids, self.inspect(prompt_ids, completion_ids, top_k))

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """The script's continuation of all forks there are, last one first: no caller may rely on order."""
        while forks := list(iter(take, None)):
            self.num_rollouts += len(forks)
            yield [(fork, self._continue(fork, decoding)) for fork in reversed(forks)]

    def _continue(self, fork: Fork, decoding: Decoding) -> Completion:
        token_id, prefix = fork.branch.token_id, fork.prefix
        room = max(fork.room(decoding, self.context_length), 0)
        text = [*fork.stem.prompt_ids, *prefix, token_id]
        rest = self._next_ids(text)[:room] if token_id not in self.stop_token_ids else []
        return finish(self.tokenizer, [token_id, *rest], self.stop_token_ids, decoding, prefix)

    def _complete(self, prompt: TokenIds, decoding: Decoding) -> Completion:
        ids = self._next_ids(prompt)[: decoding.max_new_tokens]
        return finish(self.tokenizer, ids, self.stop_token_ids, decoding)

    def _next_ids(self, ids: TokenIds) -> TokenIds:
        return list(self._script.get(tuple(ids), [min(self.stop_token_ids)]))
