"""Recheck: a sample of the stored positions once more, in other batches, precision or by another engine."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from cruxtune.counterfactual import Task
from cruxtune.engines import Engine
from cruxtune.errors import RecipeError
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.complaints import describe
from cruxtune.records import Criticality, Problem, Rollout
from cruxtune.select import Agreement, gather_evidence, strict
from cruxtune.stages.annotate import annotate_manifest, open_annotator
from cruxtune.stages.evidence import stored_tasks
from cruxtune.stages.resources import open_engine, open_verifier, solution_decoding
from cruxtune.stages.stability import Rerun, Stability
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest, read_records, require_same
from cruxtune.store.files import write_json, write_text

Place = tuple[str, int, int]
"""Solution, position, rank."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the second run is done; what is None is as in the recipe."""

    engine: str | None = None
    dtype: str | None = None
    batch_size: int | None = None
    num_positions: int = 200
    seed: int = 0

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe for the second run."""
        found = recipe.engine.model_dump()
        if self.engine and self.engine != found["type"]:
            shared = ("device", "batch_size") if self.engine in ("reference", "trunk") else ("device",)
            found = {"type": self.engine, **{key: found[key] for key in shared if key in found}}
        if self.batch_size:
            found["batch_size"] = self.batch_size
        model = recipe.model.model_dump() | ({"dtype": self.dtype} if self.dtype else {})
        try:
            return Recipe.model_validate(recipe.model_dump() | {"engine": found, "model": model})
        except ValidationError as error:
            raise RecipeError(
                f"these conditions can't be: {describe(error, Recipe)}. Settings of an engine go without "
                "--engine, such as engine.type=server engine.url=http://localhost:8000/v1"
            ) from error


def recheck(recipe: Recipe, conditions: Conditions = Conditions()) -> tuple[Path, Stability]:
    """Write `recheck/`: how many continuations, verdicts and labels a second run changes, and which ones."""
    space = Workspace(recipe)
    require_same(space.path("annotate"), annotate_manifest(space))
    tasks = sample(space, conditions)
    second = conditions.apply(recipe)
    engine = open_engine(second, space.model)
    rollouts = _run_again(second, engine, tasks, list(read_records(space.path("solve"), Problem)))
    stability = Stability(
        {
            "engine": second.engine.type,
            "batch_size": getattr(second.engine, "batch_size", None),
            "dtype": second.model.dtype,
            "seed": conditions.seed,
        },
        sum(len(task.positions) for task in tasks),
        _compare(engine, tasks, rollouts),
        _labels(recipe.annotate.k, tasks, rollouts),
    )
    _write(space.path("recheck"), stability)
    return space.path("recheck"), stability


def sample(space: Workspace, conditions: Conditions) -> list[Task]:
    """The solutions of the sampled positions, with what is stored on these; each position is as likely."""
    total = int(read_manifest(space.path("annotate")).counts["num_positions"])
    generator = np.random.default_rng(conditions.seed)
    chosen = set(generator.permutation(total)[: conditions.num_positions].tolist())
    tasks, start = [], 0
    for task in stored_tasks(space):
        indices = [index for index in range(len(task.positions)) if start + index in chosen]
        start += len(task.positions)
        if indices:
            tasks.append(_only(task, indices))
    return tasks


def _only(task: Task, indices: Sequence[int]) -> Task:
    positions = [task.positions[index] for index in indices]
    numbers = {position.position for position in positions}
    return replace(
        task, positions=positions, rollouts=[r for r in task.rollouts if r.branch.position in numbers]
    )


def _run_again(
    recipe: Recipe, engine: Engine, tasks: Sequence[Task], problems: Iterable[Problem]
) -> list[Rollout]:
    """The counterfactual test of the sampled positions, from the beginning."""
    rollouts: list[Rollout] = []
    with (
        open_verifier(recipe) as verifier,
        progress_bar("recheck", sum(len(task.rollouts) for task in tasks)) as bar,
    ):
        annotator = open_annotator(recipe, engine, verifier, solution_decoding(recipe, problems))
        for evidence in annotator.annotate(replace(task, rollouts=()) for task in tasks):
            rollouts += evidence.rollouts
            bar.advance(len(evidence.rollouts))
    return rollouts


def _compare(engine: Engine, tasks: Sequence[Task], rollouts: Iterable[Rollout]) -> list[Rerun]:
    """The branches that both runs made."""
    second = {_place(rollout): rollout for rollout in rollouts}
    pairs = [(task, r, second[_place(r)]) for task in tasks for r in task.rollouts if _place(r) in second]
    with progress_bar("margins", len(pairs)) as bar:
        reruns = []
        for task, first, again in pairs:
            reruns.append(Rerun(first, again, smallest_margin(engine, task, first)))
            bar.advance()
    return reruns


def smallest_margin(engine: Engine, task: Task, rollout: Rollout) -> float:
    """How near a continuation came to a tie; its first token was given, not chosen."""
    ids = rollout.continuation.token_ids
    if len(ids) < 2:
        return inf
    solution = task.solution
    prefix = solution.prompt_ids + solution.completion.token_ids[: rollout.branch.position] + ids[:1]
    return float(engine.inspect(prefix, ids[1:], 2).margins.min())


def _labels(k: int, tasks: Sequence[Task], rollouts: Iterable[Rollout]) -> dict[str, list[Agreement]]:
    """Strict-2 to Strict-k in the first run and in the second, a table a solution."""
    again: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        again.setdefault(rollout.solution_id, []).append(rollout)
    return {
        f"strict, k = {rank}": [
            Agreement.of(
                _critical(task, task.rollouts, rank), _critical(task, again.get(task.solution.id, ()), rank)
            )
            for task in tasks
        ]
        for rank in range(2, k + 1)
    }


def _critical(task: Task, rollouts: Sequence[Rollout], k: int) -> list[bool]:
    (evidence,) = gather_evidence([task.solution], rollouts, has_gaps=True)
    labels = strict(evidence, k)
    return [labels[position.position] is Criticality.CRITICAL for position in task.positions]


def _place(rollout: Rollout) -> Place:
    return rollout.solution_id, rollout.branch.position, rollout.branch.rank


def _write(directory: Path, stability: Stability) -> None:
    marked = "".join(json.dumps(rerun.as_json(), ensure_ascii=False) + "\n" for rerun in stability.marked)
    write_json(directory / "recheck.json", stability.as_json())
    write_text(directory / "recheck.md", stability.as_markdown())
    write_text(directory / "near-ties.jsonl", marked)
