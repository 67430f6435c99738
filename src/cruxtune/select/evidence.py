"""What happened to each alternative of a solution: the stored rollouts, ready to be asked."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cruxtune.records import Rollout, Solution, Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """One alternative: how probable it was, and the verdict on where it led."""

    probability: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Evidence:
    """All outcomes of one solution, by position and rank; a rank that was not run is absent."""

    solution_id: str
    num_tokens: int
    outcomes: dict[int, dict[int, Outcome]] = field(default_factory=dict)
    has_gaps: bool = False
    """Whether ranks that a lazy test would have needed may be missing: verdicts have changed since."""

    def at(self, position: int) -> dict[int, Outcome]:
        return self.outcomes.get(position, {})


def gather_evidence(
    solutions: Iterable[Solution], rollouts: Iterable[Rollout], has_gaps: bool = False
) -> list[Evidence]:
    """One Evidence a solution, in the order of the solutions."""
    outcomes: dict[str, dict[int, dict[int, Outcome]]] = defaultdict(lambda: defaultdict(dict))
    for rollout in rollouts:
        branch = rollout.branch
        outcome = Outcome(branch.probability, rollout.grade.verdict)
        outcomes[rollout.solution_id][branch.position][branch.rank] = outcome
    return [Evidence(s.id, len(s.completion.token_ids), dict(outcomes[s.id]), has_gaps) for s in solutions]
