"""What the names in a selection stand for: selections of the recipe first, then what is built in."""

import difflib
import re
from collections.abc import Callable, Mapping

from cruxtune.errors import RecipeError
from cruxtune.recipe.counted import (
    AttentionTokens,
    CountedTokens,
    EntropyTokens,
    LowConfidenceTokens,
    RandomTokens,
)
from cruxtune.recipe.rules import (
    AllTokens,
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
    UnionRule,
)
from cruxtune.select.classes import TokenClass
from cruxtune.select.formula import Term, parse_formula, terms_of

Rules = Mapping[str, Selection]

_RANKED: dict[str, Callable[..., Selection]] = {
    "entropy": EntropyTokens,
    "low_confidence": LowConfidenceTokens,
    "attention": AttentionTokens,
    "random": RandomTokens,
}
_WITH_AMOUNT = (*_RANKED, "prefix")
_BY_ALTERNATIVES: dict[str, Callable[..., Selection]] = {
    "strict": StrictRule,
    "union": UnionRule,
    "graded": GradedRule,
}
_PLAIN: dict[str, Selection] = {
    "all": AllTokens(),
    "key": KeyTokens(),
    "stop": StopTokens(),
    **{str(kind): ClassTokens(of=kind) for kind in TokenClass},
}
_WITH_K = re.compile(r"(strict|union|graded)([2-9]|[1-9][0-9])?")
BUILT_IN = (
    *_PLAIN,
    "strict3",
    *_BY_ALTERNATIVES,
    "prefix@8",
    *(f"{name}@0.1" for name in _RANKED),
)
"""Examples of every built-in name."""


def referred(term: Term, name: str, rules: Rules) -> str | None:
    """The selection of the recipe that a term in select.<name> means; None where it means a built-in one.

    A selection never means itself: `number = "number"` takes the built-in class.
    """
    return term.name if term.amount is None and term.name in rules and term.name != name else None


def terms_in(rule: Selection) -> list[Term]:
    """The names that a selection refers to."""
    if isinstance(rule, JoinedTokens):
        return [Term(name) for name in rule.selections]
    text = _formula_in(rule)
    return list(terms_of(parse_formula(text))) if text else []


def built_in(term: Term) -> Selection:
    """The selection that a name stands for which isn't under [select]."""
    if term.name in _WITH_AMOUNT:
        return _with_amount(term)
    with_k = _WITH_K.fullmatch(term.name)
    if not with_k and term.name not in _PLAIN:
        raise RecipeError(f"{term.name!r} is neither under [select] nor built in{_hint(term.name)}")
    _require_no_amount(term)
    return _BY_ALTERNATIVES[with_k[1]](k=int(with_k[2] or 3)) if with_k else _PLAIN[term.name]


def _formula_in(rule: Selection) -> str | None:
    match rule:
        case FormulaTokens():
            return rule.formula
        case CountedTokens():
            return rule.match
        case TaggedTokens():
            return rule.tokens
    return None


def built_in_here(term: Term, name: str, rules: Rules) -> Selection:
    """The same for a name in select.<name>, which complaints name."""
    if isinstance(rules[name], JoinedTokens):
        raise RecipeError(
            f"select.{name} joins {str(term)!r}, which is not under [select]: {', '.join(rules)}"
        )
    try:
        if term.name in rules and term.name not in _WITH_AMOUNT:
            _require_no_amount(term)
        return built_in(term)
    except RecipeError as error:
        raise RecipeError(f"select.{name}: {error}") from error


def _require_no_amount(term: Term) -> None:
    if term.amount is not None:
        raise RecipeError(f"{str(term)!r}: {term.name} takes no number, unlike prefix@8 or entropy@0.1")


def _with_amount(term: Term) -> Selection:
    if term.amount is None:
        example = 8 if term.name == "prefix" else 0.1
        raise RecipeError(f"{term.name!r} needs a number: {term.name}@{example}")
    if term.name == "prefix":
        if term.amount < 1 or term.amount % 1:
            raise RecipeError(f"{str(term)!r}: prefix takes a whole number of tokens, at least 1")
        return PrefixTokens(num_tokens=int(term.amount))
    if not 0 < term.amount <= 1:
        raise RecipeError(f"{str(term)!r}: a share is above 0 and at most 1")
    return _RANKED[term.name](share=term.amount)


def _hint(name: str) -> str:
    close = difflib.get_close_matches(name, BUILT_IN, n=1)
    if "-" in name:
        return ": put spaces around '-' where it is meant as an operator"
    return f": did you mean {close[0]!r}?" if close else f" ({', '.join(BUILT_IN)})"
