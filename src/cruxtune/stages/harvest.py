"""Evidence on its way to disk: journalled as it comes, written as a part when its solutions are through."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cruxtune.counterfactual import Evidence, Task, branches_of, is_finished
from cruxtune.recipe.sections import AnnotateSection
from cruxtune.records import Position, Problem, Rollout, Solution
from cruxtune.store import Journal, StageWriter, num_items

logger = logging.getLogger(__name__)

Part = tuple[int, Sequence[Solution]]


class Harvest:
    """What is known of the solutions of some parts, and what is still to be found out."""

    def __init__(
        self,
        writer: StageWriter,
        settings: AnnotateSection,
        parts: Sequence[Part],
        problems: Mapping[str, Problem],
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._problems = problems
        self._solutions = dict(parts)
        self._journal = Journal(writer.directory)
        self._unfinished: dict[str, int] = {}
        """The number of the part of every solution that is not through."""
        self._num_unfinished: Counter[int] = Counter()
        """How many those are, by part."""
        self._too_long: set[str] = set()
        missing, self.num_done = writer.missing_parts(parts, Rollout)
        for index in self._solutions.keys() - {index for index, _ in missing}:
            self._journal.drop(index)
        for index, _ in missing:
            self._open(index)

    @property
    def num_solutions(self) -> int:
        return num_items(self._solutions.items())

    @property
    def is_whole(self) -> bool:
        return not self._unfinished

    @property
    def num_usable(self) -> int:
        """The solutions before the first unfinished one: a fair sample, as their order is random."""
        ids = [solution.id for part in self._solutions.values() for solution in part]
        return next((number for number, id in enumerate(ids) if id in self._unfinished), len(ids))

    @property
    def num_unfinished(self) -> int:
        return len(self._unfinished)

    def tasks(self) -> Iterator[Task]:
        """The solutions that are not through, in their order, with what is known of them.

        Read a part at a time, when they are asked for: there can be much of it.
        """
        for index in [index for index in self._solutions if self._num_unfinished[index]]:
            due = [solution for solution in self._solutions[index] if solution.id in self._unfinished]
            yield from self._read(index, due)

    def take(self, evidence: Evidence) -> None:
        """Keep what came in; write the parts that it completes."""
        self._keep(Position, evidence.positions)
        self._keep(Rollout, evidence.rollouts)
        self._leave_out(evidence.too_long)
        for solution_id in evidence.finished:
            index = self._unfinished.pop(solution_id)
            self._num_unfinished[index] -= 1
            if not self._num_unfinished[index]:
                self._write_part(index)
        self._journal.flush_if_due()

    def flush(self) -> None:
        """Leave nothing in memory that is not on the disk."""
        self._journal.flush()

    def finish(self) -> None:
        """Every part is written: the journal has done its work."""
        self._journal.remove()

    def write_beginning(self) -> list[int]:
        """Write the usable solutions of the first part that is not whole; returns the whole parts before."""
        whole, left = [], self.num_usable
        for index, part in self._solutions.items():
            if left >= len(part):
                whole.append(index)
            elif left:
                self._write(index, part[:left], is_partial=True)
            left = max(left - len(part), 0)
        return whole

    def _open(self, index: int) -> None:
        for task in self._read(index, self._solutions[index]):
            if not is_finished(task, self._settings.k, self._settings.mode == "lazy"):
                self._unfinished[task.solution.id] = index
                self._num_unfinished[index] += 1
        if not self._num_unfinished[index]:
            self._write_part(index)

    def _keep(self, record_type: Any, records: Sequence[Position] | Sequence[Rollout]) -> None:
        for record in records:
            self._journal.add(self._unfinished[record.solution_id], record_type, [record])

    def _leave_out(self, solution_ids: Sequence[str]) -> None:
        """Of these nothing is written, not even what an engine with a longer context has found out."""
        for solution_id in solution_ids:
            logger.warning("%s is longer than the engine's context and is left out", solution_id)
        self._too_long.update(solution_ids)

    def _write_part(self, index: int) -> None:
        self._write(index, self._solutions[index])
        self._journal.drop(index)

    def _write(self, index: int, solutions: Sequence[Solution], is_partial: bool = False) -> None:
        fitting = [solution for solution in solutions if solution.id not in self._too_long]
        write_evidence(self._writer, index, self._read(index, fitting), is_partial)

    def _read(self, index: int, solutions: Sequence[Solution]) -> list[Task]:
        positions, rollouts = (
            _by_solution(self._journal.read(index, record_type)) for record_type in (Position, Rollout)
        )
        return [
            task_of(self._problems[s.problem_id], s, positions[s.id], rollouts[s.id], self._settings.k)
            for s in solutions
        ]


def write_evidence(writer: StageWriter, index: int, tasks: Sequence[Task], is_partial: bool = False) -> None:
    """The tables of one part."""
    positions = [position for task in tasks for position in task.positions]
    writer.write_part(index, Position, positions, is_partial)
    rollouts = [rollout for task in tasks for rollout in task.rollouts]
    writer.write_part(index, Rollout, rollouts, is_partial)


def task_of(
    problem: Problem, solution: Solution, positions: Sequence[Position], rollouts: Sequence[Rollout], k: int
) -> Task:
    """A solution with its stored evidence, sorted, each piece once.

    Rollouts without the position that they leave, which a damaged journal can have, are left out.
    """
    known = {position.position: position for position in positions}
    if len(known) < len(solution.completion.token_ids):
        known = {}
    own = [known[number] for number in sorted(known)]
    branches = {(b.position, b.rank): b.token_id for b in branches_of(own, k)}
    tried = {(r.branch.position, r.branch.rank): r for r in rollouts}
    fitting = [tried[place] for place in sorted(tried) if branches.get(place) == tried[place].branch.token_id]
    return Task(problem, solution, own, fitting)


def _by_solution(records: Iterator[Any]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        grouped[record.solution_id].append(record)
    return grouped
