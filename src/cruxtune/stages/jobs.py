"""What one of several engines is asked to do, and what is left of it when that engine's process dies."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from cruxtune.counterfactual import Evidence, Task
from cruxtune.records import Problem

Work = Callable[..., Any]


class Job(Protocol):
    """Kept by the driver, which learns from what comes back what is still to be done."""

    num_deaths: int
    """Processes that died on it, one after the other."""

    @staticmethod
    def flow(work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Where the engine is: what comes of items, piece by piece."""
        ...

    @property
    def left(self) -> list[Any]:
        """The items that are not through."""
        ...

    def add(self, item: Any) -> None:
        """One item more."""
        ...

    def receive(self, piece: Any) -> Any:
        """Take note of a piece, so that it isn't asked for again; returns what it says."""
        ...


class PartJob:
    """Parts of problems to solve or to answer."""

    def __init__(self, parts: Iterable[tuple[int, Sequence[Problem]]] = ()) -> None:
        self.num_deaths = 0
        self._parts = dict(parts)

    def __str__(self) -> str:
        return f"part {', '.join(map(str, self._parts))}"

    @staticmethod
    def flow(work: Work, items: Iterable[tuple[int, Sequence[Problem]]]) -> Iterator[tuple[int, list[Any]]]:
        for index, problems in items:
            yield index, work(index, problems)

    @property
    def left(self) -> list[tuple[int, Sequence[Problem]]]:
        return list(self._parts.items())

    def add(self, item: tuple[int, Sequence[Problem]]) -> None:
        self._parts[item[0]] = item[1]

    def receive(self, piece: tuple[int, list[Any]]) -> tuple[int, list[Any]]:
        self.num_deaths = 0
        del self._parts[piece[0]]
        return piece


class AnnotateJob:
    """Solutions to annotate."""

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self.num_deaths = 0
        self._tasks = {task.solution.id: task for task in tasks}

    def __str__(self) -> str:
        return f"the solutions {', '.join(self._tasks)}"

    @staticmethod
    def flow(work: Work, items: Iterable[Task]) -> Iterator[Evidence]:
        yield from work(items)

    @property
    def left(self) -> list[Task]:
        return list(self._tasks.values())

    def add(self, item: Task) -> None:
        self._tasks[item.solution.id] = item

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
            self.num_deaths = 0
            del self._tasks[solution_id]
        return piece
