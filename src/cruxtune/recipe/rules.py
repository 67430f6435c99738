"""Selections: which rule writes the loss weights. Told apart by `type`."""

from typing import Annotated, Literal

from pydantic import Field

from cruxtune.recipe.settings import Seed, Settings

Rank = Annotated[int, Field(ge=2)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class AllTokens(Settings):
    """Every response token counts 1: plain supervised fine-tuning (CFT paper, eq. 1)."""

    type: Literal["all"] = "all"


class AlternativesRule(Settings):
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


class RandomTokens(Settings):
    """As many random response tokens as another selection takes, over the whole set."""

    type: Literal["random"] = "random"
    match: str
    """The selection whose count is matched, to the token."""
    seed: Seed = 0


Selection = Annotated[
    AllTokens | StrictRule | UnionRule | GradedRule | RandomTokens, Field(discriminator="type")
]
