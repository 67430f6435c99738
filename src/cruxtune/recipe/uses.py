"""Which selections a selection is made of, and on which solutions each is used."""

from collections.abc import Iterator
from typing import NamedTuple

from cruxtune.errors import RecipeError
from cruxtune.recipe.counted import RankedTokens
from cruxtune.recipe.references import Rules, built_in_here, referred, terms_in
from cruxtune.recipe.rules import AlternativesRule, FormulaTokens, JoinedTokens, Selection, TaggedTokens
from cruxtune.records import Origin

Sets = tuple[str, ...]
"""Names of sets of solutions: those of the model itself first, then the others by their names."""

OWN_SETS = (str(Origin.GREEDY), str(Origin.SAMPLED))


class Use(NamedTuple):
    """A selection, and the solutions on which it is used."""

    name: str
    """Under [select]; a built-in one is called as it is written."""
    rule: Selection
    sets: Sets


_OF_THE_ORIGINAL = (AlternativesRule, RankedTokens)


def rules_behind(name: str, rules: Rules) -> Iterator[Use]:
    """A selection and all that it is made of, however far.

    Raises where a name stands for nothing or leads back to itself, or where solutions don't fit together.
    """
    yield Use(name, rules[name], sets_of(name, rules))
    for term in terms_in(rules[name]):
        if other := referred(term, name, rules):
            yield from rules_behind(other, rules)
        else:
            yield Use(str(term), built_in_here(term, name, rules), formula_sets(name, rules))


def rules_on_evidence(rules: Rules) -> dict[str, Selection]:
    """Those under [select] that ask the evidence on the model's own greedy solutions."""
    return {
        name: rule
        for name, rule in rules.items()
        if isinstance(rule, AlternativesRule) and OWN_SETS[0] in sets_of(name, rules)
    }


def require_apart(name: str, rules: Rules) -> None:
    """Raises where a selection mixes rewritten solutions with what is known of the original ones."""
    (_, rule, _), *others = rules_behind(name, rules)
    for used, other, _ in others:
        if isinstance(other, TaggedTokens):
            raise RecipeError(
                f"select.{name} uses {used}, whose solutions are rewritten: its tokens are other ones"
            )
        if isinstance(rule, TaggedTokens) and isinstance(other, _OF_THE_ORIGINAL):
            raise RecipeError(
                f"select.{name} rewrites the solutions, so `tokens` can't ask for {used}, which was found "
                "out on the original ones"
            )


def sets_of(name: str, rules: Rules, path: Sets = ()) -> Sets:
    """The solutions that a selection gives weights to."""
    rule, named = rules[name], _sets_named(name, rules, path)
    if isinstance(rule, JoinedTokens):
        return _disjoint(name, [one for sets in named for one in sets])
    given = _in_order(rule.solutions) if rule.solutions else None
    if isinstance(rule, FormulaTokens | TaggedTokens) and given and named and given != named[0]:
        raise RecipeError(
            f"select.{name} is made on {_in_words(given)} solutions, but what it names is on "
            f"{_in_words(named[0])} ones"
        )
    return given or (named[0] if named else OWN_SETS[:1])


def formula_sets(name: str, rules: Rules) -> Sets:
    """The solutions that the formula or the `match` of a selection is evaluated on."""
    named = _sets_named(name, rules, ())
    return named[0] if named else sets_of(name, rules)


def _sets_named(name: str, rules: Rules, path: Sets) -> list[Sets]:
    """The solutions of the selections that a selection names; all the same but where it joins them."""
    if name in path:
        raise RecipeError(f"select.{path[0]} leads back to itself: {' → '.join((*path, name))}")
    rule = rules[name]
    others = [other for term in terms_in(rule) if (other := referred(term, name, rules))]
    found = {other: sets_of(other, rules, (*path, name)) for other in others}
    if len(set(found.values())) > 1 and not isinstance(rule, JoinedTokens):
        told = ", ".join(f"{other} ({_in_words(sets)})" for other, sets in found.items())
        raise RecipeError(
            f"select.{name} names selections of different solutions: {told}; a list joins such selections: "
            f"{list(found)}"
        )
    return [found[other] for other in others]


def _disjoint(name: str, sets: list[str]) -> Sets:
    if twice := sorted({one for one in sets if sets.count(one) > 1}):
        raise RecipeError(
            f"select.{name} joins two selections of the {_in_words(tuple(twice))} solutions: combine these "
            "in a formula first"
        )
    return _in_order(tuple(sets))


def _in_order(sets: Sets) -> Sets:
    own = [one for one in OWN_SETS if one in sets]
    return (*own, *sorted(set(sets) - set(OWN_SETS)))


def _in_words(sets: Sets) -> str:
    return " and ".join(sets)
