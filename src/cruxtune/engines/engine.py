"""The protocol that every engine speaks: token ids in, token ids out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0


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


class Engine(Protocol):
    """Generate, inspect, continue. The reference engine defines what is right."""

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, as transformers loads it."""
        ...

    @property
    def stop_token_ids(self) -> frozenset[int]: ...

    def generate(self, prompts: Sequence[TokenIds], decoding: Decoding) -> list[Completion]:
        """One completion a prompt, in their order."""
        ...

    def inspect(self, prompt_ids: TokenIds, completion_ids: TokenIds, top_k: int) -> Inspection:
        """The model's view of every token of a completion."""
        ...

    def continue_from(
        self, prompt_ids: TokenIds, completion_ids: TokenIds, branches: Sequence[Branch], decoding: Decoding
    ) -> Iterator[tuple[Branch, Completion]]:
        """What each branch becomes, as branches finish and so in any order.

        A completion starts with the branch's own token. `decoding.max_new_tokens` limits the whole text
        after the prompt, prefix included, as it limited the solution.
        """
        ...
