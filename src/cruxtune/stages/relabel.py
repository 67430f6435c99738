"""Relabel: the stored evidence under the verifier and the rules of today. No model is run.

What it writes, `relabel/`, is the beginning of a run of its own: `solve/` and `annotate/` with new verdicts.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from cruxtune.counterfactual import Task, submission_of
from cruxtune.models import load_tokenizer
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Position, Problem, Rollout, Solution, Verdict
from cruxtune.select import gather_evidence
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.changes import Changes, count_transitions
from cruxtune.stages.evidence import annotate_counts, annotated_solutions, stored_tasks, wanted_solutions
from cruxtune.stages.harvest import Part, write_evidence
from cruxtune.stages.resources import open_verifier
from cruxtune.stages.solve import count_solutions, solve_manifest
from cruxtune.stages.workspace import Workspace
from cruxtune.store import Journal, StageWriter, parts_of, read_manifest, read_records, require_same
from cruxtune.store.files import write_json, write_text
from cruxtune.verify import Verifier

DIRECTORY = "relabel"


def relabel(recipe: Recipe, leave_open: bool = False) -> tuple[Path, Changes]:
    """Write `relabel/`: the solutions and their evidence with new verdicts, and what that changes.

    Left open, the evidence is for `annotate` to complete where other verdicts ask for more.
    """
    source = Workspace(as_annotated(recipe))
    require_same(source.path("annotate"), annotate_manifest(source))
    target = Workspace(recipe.model_copy(update={"output_dir": recipe.output_dir / DIRECTORY}))
    for verb in ("solve", "annotate"):
        shutil.rmtree(target.path(verb), ignore_errors=True)
    changes = Changes(recipe.select)
    with open_verifier(recipe) as verifier:
        _write_solutions(source, target, verifier, changes, with_new=leave_open)
        (_leave_open if leave_open else _write_evidence)(source, target, verifier, changes)
    write_json(target.path("relabel.json"), changes.as_json())
    write_text(target.path("relabel.md"), changes.as_markdown())
    return target.recipe.output_dir, changes


def as_annotated(recipe: Recipe) -> Recipe:
    """The recipe with the verifier's settings that the stored evidence was made with."""
    recorded = read_manifest(recipe.output_dir / "annotate").settings["verify"]
    return recipe.model_copy(update={"verify": recipe.verify.model_copy(update=recorded)})


def _write_solutions(
    source: Workspace, target: Workspace, verifier: Verifier, changes: Changes, with_new: bool
) -> None:
    """All solutions with new verdicts; right ones without evidence only if they are to get it."""
    annotated = {solution.id for solution in annotated_solutions(source)}
    problems = list(read_records(source.path("solve"), Problem))
    solutions = list(read_records(source.path("solve"), Solution))
    by_id = {problem.id: problem for problem in problems}
    texts = [(by_id[s.problem_id], s.completion.text, s.completion.finish_reason) for s in solutions]
    grades = verifier.verify_many(texts)
    changes.solutions = count_transitions((s.grade for s in solutions), grades)
    regraded = [replace(s, grade=grade) for s, grade in zip(solutions, grades, strict=True)]
    kept = [s for s in regraded if with_new or s.id in annotated or s.grade.verdict is not Verdict.CORRECT]
    changes.num_left_out = len(regraded) - len(kept)
    with StageWriter(target.path("solve"), solve_manifest(target)) as writer:
        for index, part in parts_of(problems, target.recipe.solve.part_size):
            ids = {problem.id for problem in part}
            writer.write_part(index, Problem, part)
            writer.write_part(index, Solution, [s for s in kept if s.problem_id in ids])
        writer.finish(count_solutions(regraded))


def _write_evidence(source: Workspace, target: Workspace, verifier: Verifier, changes: Changes) -> None:
    """The evidence on the solutions that are still right, part by part: rollouts can be millions."""
    tokenizer = load_tokenizer(source.model, source.recipe.model.trust_remote_code)
    solutions = read_records(target.path("solve"), Solution)
    right = {s.id for s in solutions if s.grade.verdict is Verdict.CORRECT}
    tasks = (task for task in stored_tasks(source) if task.solution.id in right)
    parts: list[Part] = []
    with (
        StageWriter(target.path("annotate"), annotate_manifest(target)) as writer,
        progress_bar("relabel", len(right)) as bar,
    ):
        for index, part in enumerate(_runs(tasks, target.recipe.annotate.part_size)):
            done = [_regraded(task, verifier, tokenizer, changes) for task in part]
            write_evidence(writer, index, done)
            parts.append((index, [task.solution for task in done]))
            bar.advance(len(done))
        counts = annotate_counts(writer.directory, parts, len(right))
        writer.finish({**counts, "num_gaps": changes.num_gaps})


def _leave_open(source: Workspace, target: Workspace, verifier: Verifier, changes: Changes) -> None:
    """The evidence in the journal of `annotate`, which goes on from there."""
    tokenizer = load_tokenizer(source.model, source.recipe.model.trust_remote_code)
    parts = parts_of(wanted_solutions(target), target.recipe.annotate.part_size)
    index_of = {solution.id: index for index, part in parts for solution in part}
    with (
        StageWriter(target.path("annotate"), annotate_manifest(target)) as writer,
        progress_bar("relabel", len(index_of)) as bar,
    ):
        journal = Journal(writer.directory)
        for task in stored_tasks(source):
            if task.solution.id in index_of:
                done = _regraded(task, verifier, tokenizer, changes)
                journal.add(index_of[task.solution.id], Position, done.positions)
                journal.add(index_of[task.solution.id], Rollout, done.rollouts)
                journal.flush_if_due()
                bar.advance()
        journal.flush()


def _regraded(task: Task, verifier: Verifier, tokenizer: Any, changes: Changes) -> Task:
    """The evidence on one solution with new verdicts; what changed is counted."""
    grades = verifier.verify_many(
        [submission_of(task, r.branch, r.continuation, tokenizer) for r in task.rollouts]
    )
    rollouts = [replace(r, grade=grade) for r, grade in zip(task.rollouts, grades, strict=True)]
    changes.rollouts += count_transitions((r.grade for r in task.rollouts), grades)
    changes.num_gaps += _num_gaps(task.positions, rollouts)
    before, after = (
        gather_evidence([task.solution], some, has_gaps=True)[0] for some in (task.rollouts, rollouts)
    )
    changes.take_evidence(before, after)
    return replace(task, rollouts=rollouts)


def _num_gaps(positions: Sequence[Position], rollouts: Sequence[Rollout]) -> int:
    """Positions at which no stored alternative keeps the answer and not every one was tried."""
    verdicts: dict[int, list[Verdict]] = defaultdict(list)
    for rollout in rollouts:
        verdicts[rollout.branch.position].append(rollout.grade.verdict)
    return sum(
        Verdict.CORRECT not in verdicts[p.position] and len(verdicts[p.position]) < len(p.alternative_ids)
        for p in positions
    )


def _runs(tasks: Iterator[Task], size: int) -> Iterator[list[Task]]:
    return iter(lambda: list(islice(tasks, size)), [])
