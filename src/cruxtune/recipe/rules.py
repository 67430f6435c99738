"""Selections: which rule writes the loss weights. By `type`; a plain string is a formula, a list joins."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from cruxtune.errors import SelectionError
from cruxtune.recipe.settings import Name, Seed, Settings
from cruxtune.select.classes import TokenClass
from cruxtune.select.formula import parse_formula

Rank = Annotated[int, Field(ge=2)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


def _parsed(text: str) -> str:
    try:
        parse_formula(text)
    except SelectionError as error:
        raise ValueError(str(error)) from error
    return text


FormulaText = Annotated[str, Field(max_length=1000)]


def _alone(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


SetNames = Annotated[tuple[Name, ...], BeforeValidator(_alone), Field(min_length=1)]
"""`greedy`, `sampled`, names under [solutions]: one, or a list."""


class Rule(Settings):
    """A selection among the tokens of some solutions."""

    solutions: SetNames | None = None
    """Which ones; when absent, those of the selections that it names, else the greedy ones."""


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


class CountedTokens(Rule):
    """Exactly as many tokens as are asked for: those of another selection, or a share of all."""

    match: FormulaText | None = None
    """The selection, or a formula, whose count is matched, to the token."""
    share: Share | None = None
    """Of all tokens, instead of `match`."""

    @field_validator("match")
    @classmethod
    def _match_parses(cls, text: str | None) -> str | None:
        return text if text is None else _parsed(text)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.match is None) == (self.share is None):
            raise ValueError("give `match` (a selection whose count is matched) or `share`, one of the two")
        return self


class RandomTokens(CountedTokens):
    """As many random response tokens as another selection takes, over the whole set."""

    type: Literal["random"] = "random"
    seed: Seed = 0


class RankedTokens(CountedTokens):
    """The tokens of the highest score; of equal scores the earlier ones."""

    per: Literal["set", "response"] = "set"
    """Whether tokens are counted and ranked over the whole set or in each response."""


class EntropyTokens(RankedTokens):
    """Where the base model's next-token distribution has the highest entropy."""

    type: Literal["entropy"] = "entropy"


class LowConfidenceTokens(RankedTokens):
    """The tokens to which the base model gives the lowest probability."""

    type: Literal["low_confidence"] = "low_confidence"


class AttentionTokens(RankedTokens):
    """The tokens that receive the most attention from later response tokens, over all heads and layers."""

    type: Literal["attention"] = "attention"


class ComparedTokens(RankedTokens):
    """The tokens to which another model, of the same tokenizer, gives another probability than the base."""

    model: str
    """A run of this recipe, such as `cft-seed0`, which is then trained first; a directory, such as the
    `model/` of a checkpoint elsewhere; or a Hub id."""
    revision: str | None = None


class ScoreTokens(ComparedTokens):
    """The highest P_model − P_base: with a CFT checkpoint as `model`, the paper's s_t (section 5.1)."""

    type: Literal["score"] = "score"


class ExcessLossTokens(ComparedTokens):
    """The highest loss of the base minus loss of a reference model (Rho-1, Lin et al., 2024)."""

    type: Literal["excess_loss"] = "excess_loss"


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

    _parses = field_validator("formula")(_parsed)


class TaggedTokens(Rule):
    """Tokens of the solutions rewritten as `<Thinking>…</Thinking><Answer>…</Answer>` (SFTKey)."""

    type: Literal["tagged"] = "tagged"
    tokens: FormulaText = "all"
    """A formula that asks the rewritten text alone: `all`, or `key` for what follows `</Thinking>`."""

    _parses = field_validator("tokens")(_parsed)


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
