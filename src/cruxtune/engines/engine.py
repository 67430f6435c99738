"""The protocol that every engine speaks: token ids in, token ids out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from cruxtune.records import Branch, Completion, TokenIds


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to choose tokens, and when to stop."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    """Strings that end a completion, besides the model's own stop tokens."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    """Of the sampling; the same call with the same seed gives the same completions."""
    is_settled: Callable[[str], bool] | None = field(default=None, compare=False)
    """Whether nothing that could follow a text would change its verdict; the text ends there.

    It must stay true for whatever is added to a text for which it is true.
    """

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    def room(self, prompt_ids: TokenIds, context_length: int) -> int:
        """How many tokens may follow a prompt; none if it is not positive."""
        return min(self.max_new_tokens, context_length - len(prompt_ids))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the model expects at each token of a completion, given all before it."""

    top_ids: Int[np.ndarray, "completion k"]
    """The k most probable tokens, most probable first."""
    top_probs: Float[np.ndarray, "completion k"]
    token_probs: Float[np.ndarray, " completion"]
    """Of the completion's own tokens."""
    entropies: Float[np.ndarray, " completion"]
    """Of the whole next-token distributions, in nats."""
    margins: Float[np.ndarray, " completion"]
    """First logit minus second."""


@dataclass(frozen=True, eq=False)
class Stem:
    """A completion that branches leave. Drop it, and what an engine holds for it is free again."""

    prompt_ids: TokenIds
    completion_ids: TokenIds
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class Fork:
    """One branch of one stem: what an engine continues."""

    stem: Stem
    branch: Branch

    @property
    def prefix(self) -> TokenIds:
        """The part of the completion that the fork keeps."""
        return self.stem.completion_ids[: self.branch.position]

    def room(self, decoding: Decoding, context_length: int) -> int:
        """How many tokens may follow the fork's own one; none if it is not positive."""
        return decoding.room(self.stem.prompt_ids, context_length) - self.branch.position - 1


Continued = tuple[Fork, Completion]
TakeFork = Callable[[], Fork | None]
"""Gives the next fork, or None where there is none at the moment."""


@runtime_checkable
class Engine(Protocol):
    """Generate, inspect, continue. The reference engine defines what is right."""

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, as transformers loads it."""
        ...

    @property
    def stop_token_ids(self) -> frozenset[int]: ...

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and completion together."""
        ...

    def generate(
        self, prompts: Sequence[TokenIds], decoding: Decoding, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """One completion a prompt, in their order.

        With a seed for each prompt, what is sampled doesn't depend on the other prompts.
        """
        ...

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion."""
        ...

    def open_stem(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Stem:
        """A completion, inspected and made ready to branch off from."""
        ...

    def continue_forks(self, take: TakeFork, decoding: Decoding) -> Iterator[list[Continued]]:
        """What forks become, as they finish and so in any order.

        Whenever there is room, `take` is asked for more, between two yields: what it gives may depend on
        what was yielded before. The end is where nothing is under way and `take` gives None.

        A completion starts with the branch's own token. `decoding.max_new_tokens` limits the whole text
        after the prompt, prefix included, as it limited the solution.
        """
        ...


def continue_branches(
    engine: Engine, stem: Stem, branches: Sequence[Branch], decoding: Decoding
) -> dict[Branch, Completion]:
    """What the branches of one stem become."""
    forks = iter([Fork(stem, branch) for branch in branches])
    batches = engine.continue_forks(lambda: next(forks, None), decoding)
    return {fork.branch: completion for batch in batches for fork, completion in batch}
