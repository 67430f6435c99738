"""What a second run of the same branches says of the first: which differ, and how near to a tie."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

from cruxtune.records import Rollout, Verdict
from cruxtune.select import Agreement
from cruxtune.stages.changes import agreement_as_json, agreement_table

MARGINS = (0.01, 0.1, inf)
"""Upper bounds of the classes of margins, in logits; below the first is a near-tie."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """One branch, twice."""

    first: Rollout
    second: Rollout
    margin: float
    """The smallest difference between first and second logit at the tokens that the first run chose."""

    @property
    def differs(self) -> bool:
        return self.first.continuation.token_ids != self.second.continuation.token_ids

    @property
    def flips(self) -> bool:
        """Whether the answer was kept once and lost once."""
        right = (rollout.grade.verdict is Verdict.CORRECT for rollout in (self.first, self.second))
        return len(set(right)) == 2

    @property
    def is_near_tie(self) -> bool:
        return self.margin < MARGINS[0]

    def as_json(self) -> dict[str, Any]:
        """All about it, with both texts."""
        branch, runs = self.first.branch, (self.first, self.second)
        return {
            "solution_id": self.first.solution_id,
            "position": branch.position,
            "rank": branch.rank,
            "margin": self.margin if self.margin < inf else None,
            "is_near_tie": self.is_near_tie,
            "differs": self.differs,
            "verdicts": [run.grade.verdict for run in runs],
            "answers": [run.grade.answer for run in runs],
            "texts": [run.continuation.text for run in runs],
        }


@dataclass
class Stability:
    """Two runs compared: continuations, verdicts and labels."""

    conditions: dict[str, Any]
    """How the second run was done."""
    num_positions: int
    reruns: list[Rerun]
    labels: dict[str, list[Agreement]] = field(default_factory=dict)
    """By rule: critical in the first and in the second run, one table a solution."""

    @property
    def marked(self) -> list[Rerun]:
        """Those to look at: near-ties, and those that came out differently."""
        return [rerun for rerun in self.reruns if rerun.is_near_tie or rerun.differs]

    def as_json(self) -> dict[str, Any]:
        """All numbers, for programs."""
        return {
            "conditions": self.conditions,
            "num_positions": self.num_positions,
            "num_rollouts": len(self.reruns),
            "share_different": _share(self.reruns, "differs"),
            "share_flipped": _share(self.reruns, "flips"),
            "labels": {name: agreement_as_json(tables) for name, tables in self.labels.items()},
            "margins": [
                {
                    "below": bound if bound < inf else None,
                    "num_rollouts": len(reruns),
                    "share_different": _share(reruns, "differs"),
                    "share_flipped": _share(reruns, "flips"),
                }
                for bound, reruns in by_margin(self.reruns).items()
            ],
        }

    def as_markdown(self) -> str:
        """The same as tables, for people."""
        lines = [
            "# Label noise\n",
            f"- second run: {', '.join(f'{key} {value}' for key, value in self.conditions.items())}",
            f"- {self.num_positions:,} positions, {len(self.reruns):,} rollouts that both runs made",
            f"- continuations that differ: {_percent(self.reruns, 'differs')}",
            f"- verdicts that flip: {_percent(self.reruns, 'flips')}",
            "\n## Labels of the first run and the second\n",
            *agreement_table("rule", self.labels.items(), ("first", "second")),
            "\n## By the smallest margin along the first continuation\n",
            "| margin in logits | rollouts | differ | verdict flips |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {f'below {bound}' if bound < inf else 'more'} | {len(reruns):,} | "
            f"{_percent(reruns, 'differs')} | {_percent(reruns, 'flips')} |"
            for bound, reruns in by_margin(self.reruns).items()
        ]
        return "\n".join(lines) + "\n"


def by_margin(reruns: Sequence[Rerun]) -> dict[float, list[Rerun]]:
    """The reruns in classes of margins, by their upper bounds."""
    classes: dict[float, list[Rerun]] = {bound: [] for bound in MARGINS}
    for rerun in reruns:
        classes[next((bound for bound in MARGINS if rerun.margin < bound), inf)].append(rerun)
    return classes


def _percent(reruns: Sequence[Rerun], what: str) -> str:
    return f"{_share(reruns, what):.2%}" if reruns else "–"


def _share(reruns: Sequence[Rerun], what: str) -> float:
    return sum(getattr(rerun, what) for rerun in reruns) / len(reruns) if reruns else nan
