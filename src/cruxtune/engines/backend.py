"""What answers requests in any order: the protocol that vLLM and servers fill. It imports no torch."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cruxtune.engines.engine import Decoding
from cruxtune.engines.scores import Scores
from cruxtune.records import TokenIds


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
