"""The data types that flow from stage to stage.

Token ids are the truth and text is a view. Entry t of any per-token list belongs to the token at t.
"""

from dataclasses import dataclass
from enum import StrEnum

TokenIds = list[int]


class Verdict(StrEnum):
    """What verification says of a text. Never a bool: a time-out is not the model's mistake."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    UNGRADED = "ungraded"

    @property
    def is_failure(self) -> bool:
        """Whether the answer was lost: wrong, missing or cut off. UNGRADED is neither."""
        return self in (Verdict.INCORRECT, Verdict.NO_ANSWER, Verdict.TRUNCATED)


class FinishReason(StrEnum):
    """Why an engine stopped writing."""

    STOP = "stop"
    """A stop token was produced; it is the last of the token ids."""
    STOP_STRING = "stop_string"
    """A stop string appeared; neither ids nor text contain it."""
    SETTLED = "settled"
    """The verifier's stop rule said that nothing that could follow would change the answer."""
    LENGTH = "length"
    """The token limit was reached."""


class AnswerKind(StrEnum):
    """How a final answer is extracted and compared."""

    MATH = "math"
    CHOICE = "choice"


class Origin(StrEnum):
    """How a solution came to be."""

    GREEDY = "greedy"
    SAMPLED = "sampled"
    OFFLINE = "offline"


class Criticality(StrEnum):
    """Derived from rollouts by `select`, never stored as the only record."""

    CRITICAL = "critical"
    NOT_CRITICAL = "not_critical"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its reference answer."""

    id: str
    """Data set, split and row, stable for ever: `gsm8k/train/17`."""
    question: str
    answer: str
    kind: AnswerKind = AnswerKind.MATH
    source: str = ""
    choices: tuple[str, ...] = ()
    """The options of a multiple-choice question, in the order of their letters."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine wrote after a prompt."""

    token_ids: TokenIds
    text: str
    finish_reason: FinishReason

    @property
    def has_stopped(self) -> bool:
        """Whether its last token is a stop token."""
        return self.finish_reason is FinishReason.STOP


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict and the answer that it judged (None where none was found)."""

    verdict: Verdict
    answer: str | None


@dataclass(frozen=True, slots=True)
class Solution:
    """A completion with its verdict; a training text where the verdict is CORRECT."""

    id: str
    problem_id: str
    prompt_ids: TokenIds
    completion: Completion
    grade: Grade
    origin: Origin


@dataclass(frozen=True, slots=True)
class Sample:
    """What sampling a problem came to: its first right solution, or the last of its tries."""

    solution: Solution
    num_tries: int


@dataclass(frozen=True, slots=True)
class Position:
    """The model's view of one token of a solution, given all before it."""

    solution_id: str
    position: int
    token_id: int
    text: str
    probability: float
    entropy: float
    """Of the whole next-token distribution, in nats."""
    margin: float
    """First logit minus second: how far the greedy choice is from a tie."""
    alternative_ids: TokenIds
    """The most probable tokens other than this one, most probable first: rank 2, 3, … k."""
    alternative_probs: list[float]


@dataclass(frozen=True, slots=True)
class Branch:
    """One rollout's start: at `position` the solution's token gives way to `token_id`."""

    position: int
    rank: int
    """2 is the most probable token other than the solution's own, then 3, 4, …"""
    token_id: int
    probability: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One counterfactual: a branch, its greedy continuation and what became of the answer."""

    solution_id: str
    branch: Branch
    token_text: str
    """Of the alternative token itself, as it is written, special tokens too."""
    continuation: Completion
    """All that follows the prefix: the alternative itself and what the model wrote after it."""
    grade: Grade


@dataclass(frozen=True, slots=True)
class TokenWeights:
    """What a selection makes of one solution."""

    solution_id: str
    loss_weights: list[float]
    """One weight a completion token; the prompt has none."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What a model makes of the tokens of one solution: one number a completion token."""

    solution_id: str
    scores: list[float]


GREEDY = -1
"""The `sample` of a greedy response."""


@dataclass(frozen=True, slots=True)
class Response:
    """A completion of a benchmark problem with its verdict."""

    problem_id: str
    sample: int
    """GREEDY, or the number of a sampled response, from 0."""
    completion: Completion
    grade: Grade


@dataclass(frozen=True, slots=True)
class Example:
    """All that training sees: token ids and how much each one counts. No trace of the method."""

    input_ids: TokenIds
    loss_weights: list[float]
    """One weight a token, prompt tokens included; 0 leaves a token out of the loss."""
    num_prompt_tokens: int = 0
    """The first so many tokens are the prompt."""
