"""What another verifier or another rule makes of the same evidence, counted and told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from cruxtune.recipe.rules import Selection
from cruxtune.recipe.uses import rules_on_evidence
from cruxtune.records import Grade, Verdict
from cruxtune.select import Agreement, Evidence, bootstrap_interval
from cruxtune.stages.weigh import by_alternatives

Transition = tuple[Verdict, Verdict]
"""A verdict before and after."""


@dataclass
class Changes:
    """Counts over all solutions: verdicts, labels before and after, labels of one rule and another."""

    rules: Mapping[str, Selection]
    solutions: Counter[Transition] = field(default_factory=Counter)
    rollouts: Counter[Transition] = field(default_factory=Counter)
    num_left_out: int = 0
    """Solutions that are right now and were never annotated."""
    num_gaps: int = 0
    """Positions at which a rank is needed now that was not run."""
    labels: dict[str, list[Agreement]] = field(default_factory=lambda: defaultdict(list))
    """By rule: critical before and after, one table a solution."""
    pairs: dict[tuple[str, str], list[Agreement]] = field(default_factory=lambda: defaultdict(list))
    """By two rules: critical after, by one and the other."""

    def take_evidence(self, before: Evidence, after: Evidence) -> None:
        """Count the labels of one solution."""
        new = {name: critical(rule, after) for name, rule in self.deciding_rules.items()}
        for name, rule in self.deciding_rules.items():
            self.labels[name].append(Agreement.of(critical(rule, before), new[name]))
        for one, other in combinations(new, 2):
            self.pairs[one, other].append(Agreement.of(new[one], new[other]))

    @property
    def deciding_rules(self) -> dict[str, Selection]:
        """The rules that look at the evidence."""
        return rules_on_evidence(self.rules)

    def as_json(self) -> dict[str, Any]:
        """All numbers, for programs."""
        return {
            "solutions": transitions_as_json(self.solutions),
            "rollouts": transitions_as_json(self.rollouts),
            "num_left_out": self.num_left_out,
            "num_gaps": self.num_gaps,
            "rules": {name: agreement_as_json(tables) for name, tables in self.labels.items()},
            "pairs": {f"{a} {b}": agreement_as_json(tables) for (a, b), tables in self.pairs.items()},
        }

    def as_markdown(self) -> str:
        """The same as tables, for people."""
        lines = [
            "# Labels after relabelling\n",
            f"- solutions: {transitions_in_words(self.solutions)}",
            f"- rollouts: {transitions_in_words(self.rollouts)}",
            f"- solutions that are right now and were never annotated, left out: {self.num_left_out:,}",
            f"- positions that need a rank that was not run, and are untested until it is: {self.num_gaps:,}",
            "\n## Critical before and after\n",
            *agreement_table("rule", self.labels.items(), ("before", "after")),
        ]
        if self.pairs:
            named = [(f"{one} / {other}", tables) for (one, other), tables in self.pairs.items()]
            lines += ["\n## One rule and another\n", *agreement_table("rules", named, ("first", "second"))]
        return "\n".join(lines) + "\n"


def critical(rule: Selection, evidence: Evidence) -> list[bool]:
    """Which tokens a rule selects."""
    return [weight > 0 for weight in by_alternatives(rule, evidence)]


def count_transitions(before: Iterable[Grade], after: Iterable[Grade]) -> Counter[Transition]:
    """How many verdicts became which."""
    return Counter((old.verdict, new.verdict) for old, new in zip(before, after, strict=True))


def num_changed(transitions: Counter[Transition]) -> int:
    """Verdicts that are not what they were."""
    return sum(count for (old, new), count in transitions.items() if old is not new)


def transitions_as_json(transitions: Counter[Transition]) -> dict[str, int]:
    """`correct incorrect`: 3."""
    return {f"{old} {new}": count for (old, new), count in sorted(transitions.items())}


def transitions_in_words(transitions: Counter[Transition]) -> str:
    """How many there are, how many changed, and into what."""
    changes = [
        f"{count:,} {old} → {new}" for (old, new), count in transitions.most_common() if old is not new
    ]
    told = f" ({', '.join(changes)})" if changes else ""
    return f"{num_changed(transitions):,} of {transitions.total():,} verdicts changed{told}"


def agreement_as_json(tables: Sequence[Agreement]) -> dict[str, Any]:
    """Counts, shares and kappa with its 95 % interval over solutions."""
    whole = sum(tables, Agreement())
    low, high = bootstrap_interval(tables, lambda table: table.kappa)
    return {
        "num_tokens": whole.count,
        "num_changed": whole.num_changed,
        "share_first": whole.first_share,
        "share_second": whole.second_share,
        "kappa": whole.kappa,
        "kappa_95": [low, high],
        "jaccard": whole.jaccard,
    }


def agreement_table(
    what: str, rows: Iterable[tuple[str, Sequence[Agreement]]], names: tuple[str, str]
) -> list[str]:
    """Lines of a Markdown table, one row a pair of labels."""
    lines = [
        f"| {what} | critical {names[0]} | critical {names[1]} | tokens changed | κ (95 %) | Jaccard |",
        "|---|---|---|---|---|---|",
    ]
    for name, tables in rows:
        found = agreement_as_json(tables)
        low, high = found["kappa_95"]
        lines.append(
            f"| {name} | {found['share_first']:.2%} | {found['share_second']:.2%} | "
            f"{found['num_changed']:,} of {found['num_tokens']:,} | "
            f"{found['kappa']:.3f} ({low:.3f} to {high:.3f}) | {found['jaccard']:.3f} |"
        )
    return lines
