"""Which forks are due: begun solutions before new ones, and in a lazy test only what is still open."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from cruxtune.counterfactual.alternatives import branches_of
from cruxtune.counterfactual.evidence import Evidence, Task
from cruxtune.engines import Fork, Stem
from cruxtune.records import Branch, Position, Rollout, Verdict

Place = tuple[int, int]
"""Position and rank."""
Opened = tuple[Stem, list[Position]]
"""The engine's hold on a solution, and the solution's positions."""
OpenTask = Callable[[Task], Opened | None]
"""Opens a solution; None where it is too long for that."""


class Agenda:
    """Which forks are due: begun solutions before new ones, and in a lazy test only what is still open."""

    def __init__(self, tasks: Iterable[Task], open_task: OpenTask, k: int, is_lazy: bool) -> None:
        self._tasks = iter(tasks)
        self._open_task = open_task
        self._k = k
        self._is_lazy = is_lazy
        self._due: deque[Fork] = deque()
        self._open: dict[Stem, OpenSolution] = {}
        self._begun: list[Position] = []
        self._finished: list[str] = []
        self._too_long: list[str] = []

    def take(self) -> Fork | None:
        """The next fork; opens the next solution where there is none. None: wait for verdicts, or the end.

        A solution that could not be opened is the next one again.
        """
        while not self._due:
            task = next(self._tasks, None)
            if task is None:
                return None
            try:
                self._begin(task)
            except BaseException:
                self._tasks = chain([task], self._tasks)
                raise
        return self._due.popleft()

    def task_of(self, stem: Stem) -> Task:
        return self._open[stem].task

    def settle(self, stems: Sequence[Stem], rollouts: Sequence[Rollout]) -> None:
        """Take note of verdicts: what is due next, and which solutions are through."""
        for stem, rollout in zip(stems, rollouts, strict=True):
            solution = self._open[stem]
            self._due.extendleft(solution.after(rollout))
            self._close_if_done(solution)

    def news(self, rollouts: list[Rollout]) -> Evidence:
        """All that is new, told once."""
        evidence = Evidence(self._begun, rollouts, self._finished, self._too_long)
        self._begun, self._finished, self._too_long = [], [], []
        return evidence

    def _begin(self, task: Task) -> None:
        opened = self._open_task(task)
        if opened is None:
            self._finished.append(task.solution.id)
            self._too_long.append(task.solution.id)
            return
        stem, positions = opened
        if not task.positions:
            self._begun += positions
        solution = OpenSolution(task, stem, branches_of(positions, self._k), self._is_lazy)
        self._open[stem] = solution
        self._due.extend(solution.first())
        self._close_if_done(solution)

    def _close_if_done(self, solution: "OpenSolution") -> None:
        if solution.num_due == 0:
            self._finished.append(solution.task.solution.id)
            del self._open[solution.stem]


def is_finished(task: Task, k: int, is_lazy: bool) -> bool:
    """Whether stored evidence leaves nothing to find out on a solution: no model is needed to say so."""
    if len(task.positions) < len(task.solution.completion.token_ids):
        return False
    return not Ranks(branches_of(task.positions, k), task.rollouts, is_lazy).due()


class OpenSolution:
    """One solution under test: which of its forks are due."""

    def __init__(self, task: Task, stem: Stem, branches: Sequence[Branch], is_lazy: bool) -> None:
        self.task = task
        self.stem = stem
        self.num_due = 0
        """Forks that were given out and not settled yet, and those that wait to be given out."""
        self._ranks = Ranks(branches, task.rollouts, is_lazy)

    def first(self) -> list[Fork]:
        """All that can be tried without waiting for a verdict, rank by rank."""
        return self._hand_out(self._ranks.due())

    def after(self, rollout: Rollout) -> list[Fork]:
        """What a verdict makes due."""
        self.num_due -= 1
        return self._hand_out(self._ranks.after(rollout))

    def _hand_out(self, branches: Sequence[Branch]) -> list[Fork]:
        self.num_due += len(branches)
        return [Fork(self.stem, branch) for branch in branches]


class Ranks:
    """The branches of one solution and the verdicts so far: which branch is due when."""

    def __init__(self, branches: Sequence[Branch], rollouts: Iterable[Rollout], is_lazy: bool) -> None:
        self._is_lazy = is_lazy
        self._branches = {(branch.position, branch.rank): branch for branch in branches}
        self._verdicts = {_place(rollout): rollout.grade.verdict for rollout in rollouts}

    def due(self) -> list[Branch]:
        """All that can be tried without waiting for a verdict, rank by rank."""
        if not self._is_lazy:
            due = [place for place in self._branches if place not in self._verdicts]
        else:
            positions = dict.fromkeys(position for position, _ in self._branches)
            due = [place for position in positions if (place := self._next_rank(position))]
        return [self._branches[place] for place in sorted(due, key=lambda place: (place[1], place[0]))]

    def after(self, rollout: Rollout) -> list[Branch]:
        """What a verdict makes due."""
        self._verdicts[_place(rollout)] = rollout.grade.verdict
        place = self._next_rank(rollout.branch.position) if self._is_lazy else None
        return [self._branches[place]] if place else []

    def _next_rank(self, position: int) -> Place | None:
        """The lowest rank that was not tried, if no lower one kept the answer."""
        rank = 2
        while (position, rank) in self._verdicts:
            if self._verdicts[position, rank] is Verdict.CORRECT:
                return None
            rank += 1
        return (position, rank) if (position, rank) in self._branches else None


def _place(rollout: Rollout) -> Place:
    return rollout.branch.position, rollout.branch.rank
