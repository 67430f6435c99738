"""Which selections can be made on which solutions; what can't be is refused with the remedy."""

from collections.abc import Mapping

from cruxtune.recipe.counted import RankedTokens
from cruxtune.recipe.references import Rules
from cruxtune.recipe.rules import AlternativesRule, Selection, TransferredTokens
from cruxtune.recipe.sources import RunSolutions, SolutionSource
from cruxtune.recipe.uses import OWN_SETS, Sets, formula_sets, sets_of

GREEDY, SAMPLED = OWN_SETS
Sources = Mapping[str, SolutionSource]


def require_solutions(name: str, rule: Selection, sets: Sets, sources: Sources, num_tries: int) -> None:
    """Raises where a selection asks for solutions that aren't there, or that lack what it looks at."""
    for one in sets:
        if one == SAMPLED and not num_tries:
            raise ValueError(
                f"select.{name} is on sampled solutions, but none are sampled: set sample.num_tries "
                "(the paper makes 100)"
            )
        if one not in (*OWN_SETS, *sources):
            raise ValueError(
                f"select.{name} is on {one!r} solutions, which are not there: "
                f"{', '.join((*OWN_SETS, *sources))} are; others are named under [solutions]"
            )
        if isinstance(rule, AlternativesRule) and one != GREEDY and not _is_run(one, sources):
            raise ValueError(
                f"select.{name} is {rule.type!r}, which looks at evidence, and {one} solutions have none: "
                "take type = 'score' with a checkpoint that was trained on critical tokens (section 5.1)"
            )
    if isinstance(rule, TransferredTokens) and (len(sets) > 1 or not _is_run(sets[0], sources)):
        raise ValueError(
            f"select.{name} is 'transferred', which takes weights from another run: set its `solutions` to "
            "the one name under [solutions] of type 'run' that they are from"
        )


def require_one_count(name: str, rules: Rules) -> None:
    """Raises where a count in each response is to match that of other responses."""
    rule = rules[name]
    if isinstance(rule, RankedTokens) and rule.match and rule.per == "response":
        own, matched = sets_of(name, rules), formula_sets(name, rules)
        if own != matched:
            raise ValueError(
                f"select.{name} can't match {rule.match!r} in each response: that is on "
                f"{' and '.join(matched)} solutions, this on {' and '.join(own)} ones; per = 'set' matches "
                "the count of all"
            )


def _is_run(name: str, sources: Sources) -> bool:
    return isinstance(sources.get(name), RunSolutions)
