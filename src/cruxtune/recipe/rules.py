"""Selections: which rule writes the loss weights. By `type`; a plain string is a formula, a list joins."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, field_validator

from cruxtune.recipe.counted import (
    AttentionTokens,
    EntropyTokens,
    ExcessLossTokens,
    LowConfidenceTokens,
    RandomTokens,
    ScoreTokens,
)
from cruxtune.recipe.rule import FormulaText, Rule, parsed
from cruxtune.recipe.settings import Name, Settings
from cruxtune.select.classes import TokenClass

Rank = Annotated[int, Field(ge=2)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class AllTokens(Rule):
    """Every response token counts 1: plain supervised fine-tuning (CFT paper, eq. 1)."""

    type: Literal["all"] = "all"


class AlternativesRule(Rule):
    """Rules that ask what became of the alternatives of rank 2 to k."""

    k: Rank = 3
    min_alternative_prob: Probability = 0.0
    """Alternatives less probable than this are not reasonable ones, and are not asked."""


class StrictRule(AlternativesRule):
    """Critical if every alternative of rank 2 to k fails (eq. 6); `k = 3` is the paper's CFT."""

    type: Literal["strict"] = "strict"


class UnionRule(AlternativesRule):
    """Critical if any alternative of rank 2 to k fails (section 4.5)."""

    type: Literal["union"] = "union"


class GradedRule(AlternativesRule):
    """The weight is the number of alternatives of rank 2 to k that fail (section 4.5)."""

    type: Literal["graded"] = "graded"


class ClassTokens(Rule):
    """All tokens of one class (appendix C.2); `number` gives the paper's SFT-Number (C.3)."""

    type: Literal["class"] = "class"
    of: TokenClass


class PrefixTokens(Rule):
    """The first tokens of every response (UPFT)."""

    type: Literal["prefix"] = "prefix"
    num_tokens: PositiveInt


class KeyTokens(Rule):
    """The statement of the final answer and all after it; with `</Thinking>`, all after that (SFTKey)."""

    type: Literal["key"] = "key"


class StopTokens(Rule):
    """The stop token of every response that has one."""

    type: Literal["stop"] = "stop"


class FormulaTokens(Rule):
    """A formula over other selections and built-in ones: `strict3 & number`, `union | key`, `entropy@0.1`."""

    type: Literal["formula"] = "formula"
    formula: FormulaText

    _parses = field_validator("formula")(parsed)


class TaggedTokens(Rule):
    """Tokens of the solutions rewritten as `<Thinking>…</Thinking><Answer>…</Answer>` (SFTKey)."""

    type: Literal["tagged"] = "tagged"
    tokens: FormulaText = "all"
    """A formula that asks the rewritten text alone: `all`, or `key` for what follows `</Thinking>`."""

    _parses = field_validator("tokens")(parsed)


class TransferredTokens(Rule):
    """The weights that a selection of another run gave, where its solutions are trained on (section 5.2).

    Where that run's tokenizer is another one, a token weighs as much as the characters that it writes.
    """

    type: Literal["transferred"] = "transferred"
    selection: Name
    """Under [select] of the other run."""


class JoinedTokens(Settings):
    """Several selections of different solutions, to train on all of these."""

    type: Literal["joined"] = "joined"
    selections: tuple[Name, ...] = Field(min_length=2)


def _written_out(value: Any) -> Any:
    """A plain string is a formula, a list joins selections."""
    if isinstance(value, str):
        return {"type": "formula", "formula": value}
    return {"type": "joined", "selections": value} if isinstance(value, list | tuple) else value


Selection = Annotated[
    AllTokens
    | StrictRule
    | UnionRule
    | GradedRule
    | RandomTokens
    | EntropyTokens
    | LowConfidenceTokens
    | AttentionTokens
    | ScoreTokens
    | ExcessLossTokens
    | ClassTokens
    | PrefixTokens
    | KeyTokens
    | StopTokens
    | FormulaTokens
    | TaggedTokens
    | TransferredTokens
    | JoinedTokens,
    Field(discriminator="type"),
    BeforeValidator(_written_out),
]
