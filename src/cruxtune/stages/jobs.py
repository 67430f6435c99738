"""What an actor is asked to do, and what is left of it when the actor dies."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from cruxtune.counterfactual import Evidence, Task
from cruxtune.records import Problem

Work = Callable[..., Any]


class Job(Protocol):
    """Travels to an actor, which does it; the driver's own copy knows what came back."""

    num_deaths: int
    """Actors that died on it."""

    def do(self, work: Work) -> Iterator[Any]:
        """In the actor: what comes of it, piece by piece."""
        ...

    def receive(self, piece: Any) -> Any:
        """In the driver: take note of a piece, so that it isn't asked for again; returns what it says."""
        ...


class PartJob:
    """Some problems to solve or to answer."""

    def __init__(self, index: int, problems: Sequence[Problem]) -> None:
        self.num_deaths = 0
        self._index = index
        self._problems = problems

    def __str__(self) -> str:
        return f"part {self._index}"

    def do(self, work: Work) -> Iterator[list[Any]]:
        yield work(self._index, self._problems)

    def receive(self, piece: list[Any]) -> tuple[int, list[Any]]:
        return self._index, piece


class AnnotateJob:
    """Some solutions to annotate."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.num_deaths = 0
        self._tasks = {task.solution.id: task for task in tasks}

    def __str__(self) -> str:
        return f"the solutions {', '.join(self._tasks)}"

    def do(self, work: Work) -> Iterator[Evidence]:
        yield from work(self._tasks.values())

    def receive(self, piece: Evidence) -> Evidence:
        """What is known of a solution goes with it when it is asked for again."""
        found: dict[str, tuple[list[Any], list[Any]]] = {}
        for position in piece.positions:
            found.setdefault(position.solution_id, ([], []))[0].append(position)
        for rollout in piece.rollouts:
            found.setdefault(rollout.solution_id, ([], []))[1].append(rollout)
        for solution_id, (positions, rollouts) in found.items():
            task = self._tasks[solution_id]
            self._tasks[solution_id] = Task(
                task.problem, task.solution, [*task.positions, *positions], [*task.rollouts, *rollouts]
            )
        for solution_id in piece.finished:
            del self._tasks[solution_id]
        return piece
