"""The stored evidence: on which solutions it is wanted, which ones it covers, and its numbers."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from cruxtune.counterfactual import Task
from cruxtune.errors import ArtifactError
from cruxtune.records import Position, Problem, Rollout, Solution, Verdict
from cruxtune.stages.harvest import Part
from cruxtune.stages.workspace import Workspace
from cruxtune.store import num_items, parts_of, read_manifest, read_part_table, read_records

logger = logging.getLogger(__name__)


def wanted_solutions(space: Workspace) -> list[Solution]:
    """The correct solutions that this recipe annotates, in seeded random order.

    However many of the first are through, they are a fair sample of all.
    """
    settings = space.recipe.annotate
    return in_random_order(_correct_solutions(space), settings.seed)[: settings.num_solutions]


def in_random_order(solutions: Sequence[Solution], seed: int) -> list[Solution]:
    """Sorted by a hash: the order of two solutions doesn't depend on which others there are."""
    return sorted(solutions, key=lambda s: hashlib.sha256(f"{seed} {s.id}".encode()).digest())


def covered_solutions(space: Workspace) -> list[Solution]:
    """The solutions with evidence, in its order: fewer than wanted where some are due or were too long."""
    directory = space.path("annotate")
    counts = read_manifest(directory).counts
    covered = wanted_solutions(space)[: int(counts["num_solutions"])]
    if counts.get("num_too_long"):
        covered = _fitting(directory, parts_of(covered, space.recipe.annotate.part_size))
    if not covered:
        raise ArtifactError(
            f"{directory} has no evidence, as the solutions are longer than the engine's context: delete it "
            "and run `annotate` with a longer one"
        )
    _say_coverage(directory, len(covered), int(counts["num_wanted"]))
    return covered


def annotated_solutions(space: Workspace) -> list[Solution]:
    """The solutions that the evidence covers, in the order of their problems."""
    covered = {solution.id for solution in covered_solutions(space)}
    return [solution for solution in _correct_solutions(space) if solution.id in covered]


@cache
def _say_coverage(directory: Path, covered: int, wanted: int) -> None:
    """Said once a process."""
    if covered < wanted:
        logger.warning(
            "the evidence in %s covers %s of %s solutions", directory, f"{covered:,}", f"{wanted:,}"
        )


def num_gaps(space: Workspace) -> int:
    """Positions that need alternatives which were not run, because the verdicts have changed since."""
    return int(read_manifest(space.path("annotate")).counts.get("num_gaps", 0))


def stored_tasks(space: Workspace) -> Iterator[Task]:
    """Every annotated solution with its evidence, in the order in which that is stored, one at a time."""
    problems = {problem.id: problem for problem in read_records(space.path("solve"), Problem)}
    solutions = {s.id: s for s in read_records(space.path("solve"), Solution)}
    rollouts = groupby(read_records(space.path("annotate"), Rollout), lambda r: r.solution_id)
    head = next(rollouts, None)
    for solution_id, positions in groupby(
        read_records(space.path("annotate"), Position), lambda p: p.solution_id
    ):
        solution, own = solutions[solution_id], list(positions)
        tried = list(head[1]) if head and head[0] == solution_id else []
        head = next(rollouts, None) if tried else head
        yield Task(problems[solution.problem_id], solution, own, tried)


def annotate_counts(directory: Path, parts: Sequence[Part], num_solutions: int) -> dict[str, float]:
    """Of the first solutions, a part at a time: rollouts can be millions."""
    verdicts: Counter[str] = Counter()
    num_tokens = num_positions = num_fitting = start = 0
    for index, part in parts:
        if start < num_solutions:
            table = read_part_table(directory, index, Rollout)
            verdicts.update(table["verdict"].to_pylist())
            num_tokens += sum(len(chunk.values) for chunk in table["token_ids"].chunks)
            num_positions += read_part_table(directory, index, Position).num_rows
            num_fitting += len(_ids_in(directory, index))
        start += len(part)
    return {
        "num_solutions": num_solutions,
        "num_wanted": num_items(parts),
        "num_too_long": num_solutions - num_fitting,
        "num_positions": num_positions,
        "num_rollouts": verdicts.total(),
        "num_rollout_tokens": num_tokens,
        **{f"num_{verdict}": verdicts[verdict] for verdict in Verdict},
    }


def _fitting(directory: Path, parts: Iterable[Part]) -> list[Solution]:
    """Those that were not too long to be annotated."""
    return [
        solution
        for index, part in parts
        for ids in [_ids_in(directory, index)]
        for solution in part
        if solution.id in ids
    ]


def _ids_in(directory: Path, index: int) -> set[str]:
    """The solutions with evidence in a part."""
    return set(read_part_table(directory, index, Position)["solution_id"].unique().to_pylist())


def _correct_solutions(space: Workspace) -> list[Solution]:
    solutions = read_records(space.path("solve"), Solution)
    correct = [solution for solution in solutions if solution.grade.verdict is Verdict.CORRECT]
    if not correct:
        raise ArtifactError(
            f"none of the solutions in {space.path('solve')} is correct, so there is nothing to annotate: "
            "check prompt.template and solve.max_new_tokens, and look at the verdicts that `solve` counted"
        )
    return correct
