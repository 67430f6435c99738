"""What one process is asked to measure, and what it found."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cruxtune.counterfactual import Task
from cruxtune.engines import Decoding
from cruxtune.problems import find_template
from cruxtune.records import Completion, FinishReason, Problem, Rollout, Solution, TokenIds
from cruxtune.select import gather_evidence, strict
from cruxtune.verify import StopRule

K = 3
Labels = dict[str, list[str]]
"""By solution, one a token."""


@dataclass(frozen=True)
class Job:
    """Annotate these solutions in this way."""

    model: Path
    problems: list[Problem]
    solutions: list[Solution]
    limit: int
    """Of rollouts, in tokens."""
    method: str = "trunk"
    sample: int = 200
    """Branches that `alone` measures."""
    engine_tokens: int | None = None
    """In a pass of the trunk engine; None: as many as it takes by itself."""
    threads: int | None = None
    """Of torch; None: its own choice."""
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def tasks(self) -> list[Task]:
        return [Task(p, s) for p, s in zip(self.problems, self.solutions, strict=True)]

    @property
    def beginning(self) -> Task:
        """Enough to warm up on."""
        task = self.tasks[0]
        done = task.solution.completion
        cut = Completion(done.token_ids[:8], done.text, FinishReason.LENGTH)
        return Task(task.problem, replace(task.solution, id="warm", completion=cut))

    @property
    def num_branches(self) -> int:
        """In an eager test: alternatives of rank 2 to k at every position."""
        return (K - 1) * sum(len(solution.completion.token_ids) for solution in self.solutions)

    @property
    def decoding(self) -> Decoding:
        settled = StopRule(tuple({problem.kind for problem in self.problems}))
        return Decoding(self.limit, find_template("cot").stop, is_settled=settled)


@dataclass(frozen=True)
class Outcome:
    """What it found; scaled up where only a sample of the branches was measured."""

    seconds: float
    rollouts: int
    rollout_tokens: int
    forward_tokens: int | None
    """Tokens that went through the model, padding included; None where nobody counts them."""
    peak_gib: float | None
    completions: dict[str, TokenIds] = field(repr=False)
    """By solution, position and rank: those that were measured."""
    labels: Labels | None = field(default=None, repr=False)
    """None where not all branches were measured."""
    seconds_error: float | None = None
    """The standard error of `seconds`, where they are scaled up."""


def labels_of(solutions: Iterable[Solution], rollouts: Iterable[Rollout]) -> Labels:
    evidence = gather_evidence(solutions, rollouts)
    return {item.solution_id: [str(label) for label in strict(item, K)] for item in evidence}


def completions_of(rollouts: Iterable[Rollout]) -> dict[str, TokenIds]:
    return {
        f"{rollout.solution_id} {rollout.branch.position} {rollout.branch.rank}": (
            rollout.continuation.token_ids
        )
        for rollout in rollouts
    }
