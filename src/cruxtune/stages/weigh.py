"""The weights that each selection gives to all response tokens, from the stored evidence and token scores."""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

from cruxtune.errors import SelectionError
from cruxtune.recipe.references import built_in, referred
from cruxtune.recipe.rules import (
    AllTokens,
    AlternativesRule,
    AttentionTokens,
    ClassTokens,
    ComparedTokens,
    CountedTokens,
    EntropyTokens,
    FormulaTokens,
    GradedRule,
    KeyTokens,
    LowConfidenceTokens,
    PrefixTokens,
    RandomTokens,
    RankedTokens,
    ScoreTokens,
    Selection,
    StopTokens,
    StrictRule,
    TaggedTokens,
    UnionRule,
)
from cruxtune.select import (
    Evidence,
    Mask,
    Scores,
    count_of_share,
    evaluate,
    first_tokens,
    graded,
    parse_formula,
    random_tokens,
    stop_tokens,
    strict,
    to_weights,
    token_classes,
    top_tokens,
    union,
)
from cruxtune.select.classes import TokenClass
from cruxtune.select.formula import Term
from cruxtune.stages.material import Material
from cruxtune.stages.score import scoring_of

Weights = Float[np.ndarray, " tokens"]

_OPERATIONS: dict[str, Callable[[Mask, Mask], Mask]] = {
    "&": operator.and_,
    "|": operator.or_,
    "-": lambda left, right: left & ~right,
}


def by_alternatives(rule: Selection, evidence: Evidence) -> list[float]:
    """The weights of one solution by a rule that asks its alternatives."""
    match rule:
        case StrictRule():
            return to_weights(strict(evidence, rule.k, rule.min_alternative_prob))
        case UnionRule():
            return to_weights(union(evidence, rule.k, rule.min_alternative_prob))
        case GradedRule():
            return graded(evidence, rule.k, rule.min_alternative_prob)
    raise TypeError(f"{rule} asks no alternatives")


class Weigher:
    """Weighs the selections of a recipe, each once, however many others refer to it."""

    def __init__(self, rules: Mapping[str, Selection], material: Material) -> None:
        self._rules = rules
        self._material = material
        self._known: dict[str, Weights] = {}

    def weigh(self, name: str) -> Weights:
        """What a selection gives to each token."""
        if name not in self._known:
            try:
                self._known[name] = self._weigh(self._rules[name], name)
            except SelectionError as error:
                known = str(error).startswith("select.")
                raise SelectionError(str(error) if known else f"select.{name}: {error}") from error
        return self._known[name]

    def _weigh(self, rule: Selection, name: str) -> Weights:
        match rule:
            case AlternativesRule():
                rows = [by_alternatives(rule, evidence) for evidence in self._material.evidence]
                return np.array([weight for row in rows for weight in row])
            case FormulaTokens():
                return self._mask(rule.formula, name).astype(np.float64)
            case TaggedTokens():
                return self._mask(rule.tokens, name).astype(np.float64)
            case RandomTokens():
                (count,) = self._counts(rule, name, [self._material.num_tokens])
                return random_tokens(self._material.num_tokens, count, rule.seed).astype(np.float64)
            case RankedTokens():
                return self._ranked(rule, name).astype(np.float64)
        return self._plain(rule).astype(np.float64)

    @cached_property
    def _classes(self) -> list[TokenClass]:
        """Of all tokens; one formula may ask for several."""
        return [found for pieces in self._material.pieces for found in token_classes(pieces)]

    def _plain(self, rule: Selection) -> Mask:
        """Selections that are a question of what and where a token is."""
        material = self._material
        match rule:
            case ClassTokens():
                return np.array([found is rule.of for found in self._classes])
            case PrefixTokens():
                return first_tokens(material.lengths, rule.num_tokens)
            case StopTokens():
                return stop_tokens(material.lengths, material.has_stopped)
            case KeyTokens():
                return material.key
        assert isinstance(rule, AllTokens)
        return np.ones(material.num_tokens, dtype=bool)

    def _mask(self, formula: str, name: str) -> Mask:
        """Which tokens a formula in select.<name> takes; a weighted selection takes what weighs above 0."""
        return evaluate(
            parse_formula(formula),
            lambda term: self._value(term, name) > 0,
            lambda sign, left, right: _OPERATIONS[sign](left, right),
        )

    def _value(self, term: Term, name: str) -> Weights:
        other = referred(term, name, self._rules)
        return self.weigh(other) if other else self._weigh(built_in(term), name)

    def _ranked(self, rule: RankedTokens, name: str) -> Mask:
        whole = rule.per == "set"
        lengths = [self._material.num_tokens] if whole else self._material.lengths
        return top_tokens(self._scores(rule), lengths, self._counts(rule, name, lengths))

    def _scores(self, rule: RankedTokens) -> Scores:
        """What the tokens are ranked by."""
        match rule:
            case EntropyTokens():
                return self._material.entropies
            case LowConfidenceTokens():
                return -self._material.probabilities
            case AttentionTokens():
                return self._material.scores(scoring_of(rule))
        assert isinstance(rule, ComparedTokens)
        logprobs, probabilities = self._material.scores(scoring_of(rule)), self._material.probabilities
        if isinstance(rule, ScoreTokens):
            return np.exp(logprobs) - probabilities
        return logprobs - np.log(probabilities.clip(min=np.finfo(np.float32).tiny))

    def _counts(self, rule: CountedTokens, name: str, lengths: Sequence[int]) -> list[int]:
        """How many tokens to take of each run of `lengths` tokens."""
        if rule.match is None:
            assert rule.share is not None
            return [count_of_share(rule.share, length) for length in lengths]
        matched = self._mask(rule.match, name)
        return [int(run.sum()) for run in np.split(matched, np.cumsum(lengths)[:-1])]
