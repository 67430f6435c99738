"""How an annotation gets on: the numbers beside its progress bar."""

import time
from collections import Counter

from cruxtune.counterfactual import Evidence
from cruxtune.progress import Bar
from cruxtune.records import Rollout, Verdict


class Pace:
    """Counts rollouts as they come: how many, how fast, and what share of positions is critical."""

    def __init__(self, bar: Bar, k: int) -> None:
        self._bar = bar
        self._num_ranks = k - 1
        self._began = time.monotonic()
        self._num_rollouts = 0
        self._num_tokens = 0
        self._num_kept = 0
        self._num_critical = 0
        self._lost: dict[str, Counter[int]] = {}
        self._kept: dict[str, set[int]] = {}

    def take(self, evidence: Evidence) -> None:
        """Show what came in."""
        for rollout in evidence.rollouts:
            self._count(rollout)
        for solution_id in evidence.finished:
            self._lost.pop(solution_id, None)
            self._kept.pop(solution_id, None)
        self._bar.note(str(self))
        self._bar.advance(len(evidence.finished))

    def __str__(self) -> str:
        speed = self._num_tokens / max(time.monotonic() - self._began, 1e-9)
        tested = self._num_kept + self._num_critical
        critical = f", {100 * self._num_critical / tested:.1f} % critical" if tested else ""
        return f"{self._num_rollouts:,} rollouts, {speed:,.0f} tokens/s{critical}"

    def _count(self, rollout: Rollout) -> None:
        """A position is kept by its first right answer, and critical when every rank lost the answer."""
        self._num_rollouts += 1
        self._num_tokens += len(rollout.continuation.token_ids)
        position = rollout.branch.position
        if rollout.grade.verdict is Verdict.CORRECT:
            kept = self._kept.setdefault(rollout.solution_id, set())
            self._num_kept += position not in kept
            kept.add(position)
        elif rollout.grade.verdict.is_failure:
            lost = self._lost.setdefault(rollout.solution_id, Counter())
            lost[position] += 1
            self._num_critical += lost[position] == self._num_ranks
