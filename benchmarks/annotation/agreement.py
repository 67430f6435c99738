"""Whether all ways gave the same: labels must not differ, single branches may (at near-ties)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import ne

from annotation.job import Outcome
from cruxtune.records import TokenIds


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one method with the one that all are held against."""

    method: str
    has_same_labels: bool | None
    """None where a method gave none: only a sample was measured."""
    num_differing: int
    num_compared: int
    """Branches that both continued."""
    differing: tuple[str, ...] = ()
    """Those that became something else: solution, position, rank and the first token that differs."""

    def __str__(self) -> str:
        labels = {True: "the same labels", False: "OTHER LABELS", None: "no labels"}[self.has_same_labels]
        return f"{self.method}: {labels}, {self.num_differing} of {self.num_compared} branches differ"


def compare(outcomes: Mapping[str, Outcome]) -> list[Agreement]:
    """Each method against the batched scheme; where that is missing, against the first that gave labels."""
    with_labels = [name for name, outcome in outcomes.items() if outcome.labels is not None]
    names = ["batched"] if "batched" in outcomes else with_labels or list(outcomes)
    return [agreement(method, outcome, outcomes[names[0]]) for method, outcome in outcomes.items()]


def agreement(method: str, outcome: Outcome, reference: Outcome) -> Agreement:
    shared = outcome.completions.keys() & reference.completions.keys()
    pairs = {name: (outcome.completions[name], reference.completions[name]) for name in sorted(shared)}
    differing = tuple(f"{name} {first_difference(*pair)}" for name, pair in pairs.items() if ne(*pair))
    has_both = outcome.labels is not None and reference.labels is not None
    labels = outcome.labels == reference.labels if has_both else None
    return Agreement(method, labels, len(differing), len(shared), differing)


def first_difference(one: TokenIds, other: TokenIds) -> int:
    """The number of tokens before it.

    >>> first_difference([5, 6, 7], [5, 6, 8]), first_difference([5], [5, 6])
    (2, 1)
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def require_same_labels(agreements: Iterable[Agreement]) -> None:
    """Ends the program with code 1 where a method gave other labels."""
    methods = sorted({a.method for a in agreements if a.has_same_labels is False})
    if methods:
        raise SystemExit(f"not the same labels: {', '.join(methods)}")
