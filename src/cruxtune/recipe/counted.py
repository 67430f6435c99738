"""Selections of exactly as many tokens as are asked for: random ones, and those of the highest score."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from cruxtune.recipe.rule import FormulaText, Rule, parsed
from cruxtune.recipe.settings import Seed

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class CountedTokens(Rule):
    """Exactly as many tokens as are asked for: those of another selection, or a share of all."""

    match: FormulaText | None = None
    """The selection, or a formula, whose count is matched, to the token."""
    share: Share | None = None
    """Of all tokens, instead of `match`."""

    @field_validator("match")
    @classmethod
    def _match_parses(cls, text: str | None) -> str | None:
        return text if text is None else parsed(text)

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
