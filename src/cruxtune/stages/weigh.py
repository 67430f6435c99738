"""The weights that each selection gives to all response tokens, from the stored evidence and token scores."""

import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from cruxtune.errors import SelectionError
from cruxtune.recipe.counted import (
    AttentionTokens,
    ComparedTokens,
    CountedTokens,
    EntropyTokens,
    LowConfidenceTokens,
    RandomTokens,
    RankedTokens,
    ScoreTokens,
)
from cruxtune.recipe.references import built_in, referred
from cruxtune.recipe.rules import (
    AllTokens,
    AlternativesRule,
    ClassTokens,
    FormulaTokens,
    GradedRule,
    JoinedTokens,
    KeyTokens,
    PrefixTokens,
    Selection,
    StopTokens,
    StrictRule,
    TaggedTokens,
    TransferredTokens,
    UnionRule,
)
from cruxtune.recipe.uses import Sets, formula_sets, sets_of
from cruxtune.records import Solution
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
    top_tokens,
    union,
)
from cruxtune.select.formula import Term
from cruxtune.stages.material import Material

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

    def __init__(self, rules: Mapping[str, Selection], material_on: Callable[[Sets], Material]) -> None:
        self._rules = rules
        self._material_on = material_on
        self._known: dict[str, Weights] = {}

    def weigh(self, name: str) -> Weights:
        """What a selection gives to each token of its solutions."""
        if name not in self._known:
            try:
                self._known[name] = self._weigh(self._rules[name], name, sets_of(name, self._rules))
            except SelectionError as error:
                known = str(error).startswith("select.")
                raise SelectionError(str(error) if known else f"select.{name}: {error}") from error
        return self._known[name]

    def _weigh(self, rule: Selection, name: str, sets: Sets) -> Weights:
        """What a rule, which is or stands in select.<name>, gives to the tokens of some solutions."""
        material = self._material_on(sets)
        match rule:
            case AlternativesRule():
                rows = [by_alternatives(rule, evidence) for evidence in material.evidence]
                return np.array([weight for row in rows for weight in row])
            case FormulaTokens():
                return self._mask(rule.formula, name, sets).astype(np.float64)
            case TaggedTokens():
                return self._mask(rule.tokens, name, sets).astype(np.float64)
            case JoinedTokens():
                return self._join(rule, material)
            case RandomTokens():
                (count,) = self._counts(rule, name, [material.num_tokens])
                return random_tokens(material.num_tokens, count, rule.seed).astype(np.float64)
            case RankedTokens():
                return self._ranked(rule, name, material).astype(np.float64)
            case TransferredTokens():
                return material.transferred(rule.selection)[0]
        return _plain(rule, material).astype(np.float64)

    def _join(self, rule: JoinedTokens, material: Material) -> Weights:
        """The weights of each solution by the one selection that is made on it."""
        rows: dict[str, Weights] = {}
        for part in rule.selections:
            solutions = self._material_on(sets_of(part, self._rules)).solutions
            rows |= by_solution(solutions, self.weigh(part))
        return np.concatenate([rows[solution.id] for solution in material.solutions])

    def _mask(self, formula: str, name: str, sets: Sets) -> Mask:
        """Which tokens a formula in select.<name> takes; a weighted selection takes what weighs above 0."""
        return evaluate(
            parse_formula(formula),
            lambda term: self._value(term, name, sets) > 0,
            lambda sign, left, right: _OPERATIONS[sign](left, right),
        )

    def _value(self, term: Term, name: str, sets: Sets) -> Weights:
        other = referred(term, name, self._rules)
        return self.weigh(other) if other else self._weigh(built_in(term), name, sets)

    def _ranked(self, rule: RankedTokens, name: str, material: Material) -> Mask:
        lengths = [material.num_tokens] if rule.per == "set" else material.lengths
        return top_tokens(_scores(rule, material), lengths, self._counts(rule, name, lengths))

    def _counts(self, rule: CountedTokens, name: str, lengths: Sequence[int]) -> list[int]:
        """How many tokens to take of each run of `lengths` tokens."""
        if rule.match is None:
            assert rule.share is not None
            return [count_of_share(rule.share, length) for length in lengths]
        matched = self._mask(rule.match, name, formula_sets(name, self._rules))
        if len(lengths) > 1:
            return [int(run.sum()) for run in np.split(matched, np.cumsum(lengths)[:-1])]
        count = int(matched.sum())
        if count > lengths[0]:
            raise SelectionError(
                f"{rule.match!r} takes {count} tokens, but these solutions have only {lengths[0]}"
            )
        return [count]


def by_solution(solutions: Sequence[Solution], weights: Weights) -> dict[str, Weights]:
    """The weights of each solution, by its id."""
    ends = np.cumsum([len(solution.completion.token_ids) for solution in solutions])
    return dict(zip((s.id for s in solutions), np.split(weights, ends[:-1]), strict=True))


def _plain(rule: Selection, material: Material) -> Mask:
    """Selections that are a question of what and where a token is."""
    match rule:
        case ClassTokens():
            return np.array([found is rule.of for found in material.classes])
        case PrefixTokens():
            return first_tokens(material.lengths, rule.num_tokens)
        case StopTokens():
            return stop_tokens(material.lengths, material.has_stopped)
        case KeyTokens():
            return material.key
    assert isinstance(rule, AllTokens)
    return np.ones(material.num_tokens, dtype=bool)


def _scores(rule: RankedTokens, material: Material) -> Scores:
    """What the tokens are ranked by."""
    match rule:
        case EntropyTokens():
            return material.entropies
        case LowConfidenceTokens():
            return -material.probabilities
        case AttentionTokens():
            return material.attention
    assert isinstance(rule, ComparedTokens)
    logprobs, probabilities = material.logprobs(rule.model, rule.revision), material.probabilities
    if isinstance(rule, ScoreTokens):
        return np.exp(logprobs) - probabilities
    return logprobs - np.log(probabilities.clip(min=np.finfo(np.float32).tiny))
