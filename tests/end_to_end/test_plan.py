"""The plan of a job against the job itself, from samples that no clock cuts off."""

from collections.abc import Callable
from itertools import count

import pytest
from commands import cruxtune

from cruxtune.progress import progress_bar
from cruxtune.recipe import load_recipe
from cruxtune.records import Rollout, Solution, Verdict
from cruxtune.stages.costs import annotation_cost
from cruxtune.stages.evidence import wanted_solutions
from cruxtune.stages.plan import MODES
from cruxtune.stages.probe import Block, Prober
from cruxtune.stages.resources import open_engine, open_verifier
from cruxtune.stages.workload import Workload
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest, read_records


@pytest.fixture(scope="module")
def space(finished) -> Workspace:
    return Workspace(load_recipe(finished.parent / "small.toml", [f"output_dir={finished}"]))


@pytest.fixture(scope="module")
def prober(space):
    with open_verifier(space.recipe) as verifier:
        problems = space.problems(space.recipe.problems)
        yield Prober(space.recipe, open_engine(space.recipe, space.model), verifier, problems)


def after(calls: int) -> Callable[[], bool]:
    """A clock that runs out after so many looks at it."""
    looks = count(1)
    return lambda: next(looks) > calls


def test_rollouts_and_tokens_are_as_planned_within_what_is_stated(space, prober, finished):
    work = Workload.of_stored(wanted_solutions(space), space.recipe.annotate.k)
    with progress_bar("plan", 1) as bar:
        sample = prober.annotate(work.solutions, after(9), bar)
    assert len(sample.blocks) == 10 < sample.num_blocks
    everything = Block(work.solutions[0], [], list(read_records(finished / "annotate", Rollout)))
    for mode, rollouts_of in MODES.items():
        planned = annotation_cost(work, sample, [rollouts_of(block) for block in sample.blocks])
        did = actual(everything, rollouts_of)
        for estimate, value in zip((planned.rollouts, planned.tokens), did, strict=True):
            assert abs(estimate.value - value) <= estimate.error + 1e-6, mode
            assert estimate.error < 0.5 * value
    counts = read_manifest(finished / "annotate").counts
    assert did == (counts["num_rollouts"], counts["num_rollout_tokens"])
    assert 0.1 < planned.megabytes.value / (_bytes_of(finished) / 1e6) < 10


def actual(everything: Block, rollouts_of: Callable[[Block], list[Rollout]]) -> tuple[int, int]:
    """Rollouts and tokens of a whole run in a mode, from what an eager one stored."""
    by_solution: dict[str, list[Rollout]] = {}
    for rollout in everything.rollouts:
        by_solution.setdefault(rollout.solution_id, []).append(rollout)
    did = [r for some in by_solution.values() for r in rollouts_of(Block(everything.solution, [], some))]
    return len(did), sum(len(rollout.continuation.token_ids) for rollout in did)


def _bytes_of(finished) -> int:
    return sum(path.stat().st_size for path in (finished / "annotate").glob("*.parquet"))


def test_solutions_are_as_planned_from_some_of_the_problems(space, prober, finished):
    with progress_bar("plan", 1) as bar:
        tried, _ = prober.solve(after(1), bar)
    assert len(tried) == 16
    recipe = space.recipe.model_copy(
        update={"annotate": space.recipe.annotate.model_copy(update={"num_solutions": None})}
    )
    work = Workload.of_sample(recipe, tried, len(prober.problems))
    solutions = [s for s in read_records(finished / "solve", Solution) if s.grade.verdict is Verdict.CORRECT]
    lengths = [len(solution.completion.token_ids) for solution in solutions]
    assert abs(work.num_solutions.value - len(lengths)) <= work.num_solutions.error < len(lengths)
    assert abs(work.num_positions.value - sum(lengths)) <= work.num_positions.error < sum(lengths)
    assert Workload.of_sample(space.recipe, tried, len(prober.problems)).num_solutions.value == 3


def test_the_command_plans_a_job_that_nobody_began_and_writes_nothing(finished, tmp_path):
    out = tmp_path / "out"
    result = cruxtune("plan", finished.parent / "small.toml", f"output_dir={out}", "--seconds", 1)
    assert result.returncode == 0, result.stderr
    rows = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line.startswith("|")]
    assert rows[2:] == ["solve", "annotate, lazy", "**annotate, eager**"]
    assert not out.exists()
