"""Relabelling puts right what a mistaken verifier left; a second run finds what the first got wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import artifacts, cruxtune

from cruxtune.errors import ArtifactError, ModelError, RecipeError
from cruxtune.recipe import Recipe, load_recipe
from cruxtune.records import Grade, Position, Rollout, Solution, TokenWeights, Verdict
from cruxtune.stages import annotate, plan, select
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import covered_solutions, wanted_solutions
from cruxtune.stages.facts import read_facts
from cruxtune.stages.recheck import Conditions, sample
from cruxtune.stages.relabel import relabel
from cruxtune.stages.shown import shown_solutions
from cruxtune.stages.workspace import Workspace
from cruxtune.store import StageWriter, read_manifest, read_records

LAZY = [
    "annotate.mode=lazy",
    "select={sft={type='all'}, cft={type='strict'}, strict2={type='strict', k=2}}",
    "train.selections=['sft', 'cft']",
]


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of a finished run that may be changed."""
    for verb in ("solve", "annotate"):
        shutil.copytree(finished / verb, tmp_path / "out" / verb)
    return tmp_path / "out"


def recipe_of(finished: Path, run: Path, *overrides: str) -> Recipe:
    return load_recipe(finished.parent / "small.toml", [f"output_dir={run}", *overrides])


def write_evidence(recipe: Recipe, positions: list[Position], rollouts: list[Rollout]) -> None:
    directory = recipe.output_dir / "annotate"
    counts = read_manifest(directory).counts
    wanted = annotate_manifest(Workspace(recipe))
    shutil.rmtree(directory)
    with StageWriter(directory, wanted) as writer:
        for index, solution_id in enumerate(dict.fromkeys(p.solution_id for p in positions)):
            writer.write_part(index, Position, [p for p in positions if p.solution_id == solution_id])
            writer.write_part(index, Rollout, [r for r in rollouts if r.solution_id == solution_id])
        writer.finish(counts)


def misjudged(rollout: Rollout) -> Rollout:
    """Every third rollout with the opposite verdict."""
    if (rollout.branch.position + rollout.branch.rank) % 3:
        return rollout
    is_right = rollout.grade.verdict is Verdict.CORRECT
    return replace(rollout, grade=Grade(Verdict.INCORRECT if is_right else Verdict.CORRECT, "?"))


def evidence(run: Path) -> tuple[list[Position], list[Rollout]]:
    return list(read_records(run / "annotate", Position)), list(read_records(run / "annotate", Rollout))


def test_mistaken_verdicts_are_put_right_and_counted(finished, run):
    recipe = recipe_of(finished, run, "verify.timeout=4.0")
    positions, rollouts = evidence(run)
    wrong = [misjudged(rollout) for rollout in rollouts]
    write_evidence(recipe_of(finished, run), positions, wrong)
    directory, changes = relabel(recipe)
    assert evidence(directory) == (positions, rollouts)
    changed = sum(
        old.grade.verdict is not new.grade.verdict for old, new in zip(rollouts, wrong, strict=True)
    )
    assert sum(n for (old, new), n in changes.rollouts.items() if old is not new) == changed > 0
    assert changes.as_json()["rules"]["cft"]["num_changed"] > 0
    assert changes.num_gaps == 0


def test_what_it_writes_is_a_run_that_goes_on_without_a_model(finished, run):
    result = cruxtune("relabel", finished.parent / "small.toml", f"output_dir={run}", "verify.timeout=4.0")
    assert result.returncode == 0, result.stderr
    assert (
        "0 of " in result.stdout and f"next: cruxtune run {finished.parent / 'small.toml'}" in result.stdout
    )
    assert "| cft |" in (run / "relabel" / "relabel.md").read_text()
    there = recipe_of(finished, run / "relabel", "verify.timeout=4.0")
    select(there)
    assert "accuracy on the training problems" in dict(read_facts(Workspace(there)))
    weights = {path: data for path, data in artifacts(finished / "select").items() if "manifest" not in path}
    ours = {path: data for path, data in artifacts(run / "relabel/select").items() if "manifest" not in path}
    assert ours == weights


@pytest.fixture
def lazy_run(finished, run) -> Path:
    """Lazy evidence as a mistaken verifier asked for it."""
    positions, rollouts = evidence(run)
    write_evidence(
        recipe_of(finished, run, *LAZY), positions, lazily([misjudged(rollout) for rollout in rollouts])
    )
    return run


def lazily(rollouts: list[Rollout]) -> list[Rollout]:
    """What a lazy test would have run of these."""
    right = {
        (r.solution_id, r.branch.position)
        for r in rollouts
        if r.branch.rank == 2 and r.grade.verdict is Verdict.CORRECT
    }
    return [r for r in rollouts if r.branch.rank == 2 or (r.solution_id, r.branch.position) not in right]


def test_a_rank_that_lazy_evidence_lacks_leaves_its_position_untested(finished, lazy_run):
    directory, changes = relabel(recipe_of(finished, lazy_run, *LAZY))
    stored, needed = evidence(lazy_run)[1], lazily(list(read_records(finished / "annotate", Rollout)))
    places = {(r.solution_id, r.branch.position, r.branch.rank) for r in stored}
    gaps = [r for r in needed if (r.solution_id, r.branch.position, r.branch.rank) not in places]
    assert changes.num_gaps == len(gaps) > 0
    there = recipe_of(finished, directory, *LAZY)
    select(there)
    assert len(list(shown_solutions(Workspace(there)))) == 3
    by_solution = {
        w.solution_id: w.loss_weights for w in read_records(directory / "select/cft", TokenWeights)
    }
    assert all(by_solution[r.solution_id][r.branch.position] == 0 for r in gaps)
    assert ("cft", "strict2") in changes.pairs


def test_annotate_completes_evidence_that_was_left_open(finished, lazy_run):
    directory, changes = relabel(recipe_of(finished, lazy_run, *LAZY), leave_open=True)
    assert changes.num_gaps > 0
    annotate(recipe_of(finished, directory, *LAZY))
    completed, whole = evidence(directory)[1], list(read_records(finished / "annotate", Rollout))
    stored = {(r.solution_id, r.branch.position, r.branch.rank): r for r in completed}
    tested = {(r.solution_id, r.branch.position, r.branch.rank): r for r in lazily(whole)}
    assert tested.items() <= stored.items()
    mistaken = {(r.solution_id, r.branch.position, r.branch.rank) for r in evidence(lazy_run)[1]}
    assert stored.keys() == tested.keys() | mistaken


@pytest.fixture
def crowded_run(finished, tmp_path, monkeypatch) -> Path:
    """A run whose engine could hold all of the annotated solutions but the longest."""
    shutil.copytree(finished / "solve", tmp_path / "out" / "solve")
    recipe = recipe_of(finished, tmp_path / "out")
    lengths = [len(s.prompt_ids) + len(s.completion.token_ids) for s in wanted_solutions(Workspace(recipe))]
    with monkeypatch.context() as patch:
        patch.setattr("cruxtune.engines.reference.context_length_of", lambda config: max(lengths) - 1)
        annotate(recipe)
    return tmp_path / "out"


def test_a_solution_longer_than_the_context_is_left_out_and_all_others_are_used(finished, crowded_run):
    recipe = recipe_of(finished, crowded_run)
    positions, rollouts = evidence(crowded_run)
    counts = read_manifest(crowded_run / "annotate").counts
    assert (counts["num_solutions"], counts["num_too_long"]) == (3, 1)
    fitting = [solution.id for solution in covered_solutions(Workspace(recipe))]
    assert positions == [p for p in evidence(finished)[0] if p.solution_id in fitting]
    assert counts["num_positions"] == len(positions) and counts["num_rollouts"] == 2 * len(positions)
    assert {r.solution_id for r in rollouts} == set(fitting)
    select(recipe)
    weights = list(read_records(crowded_run / "select/cft", TokenWeights))
    assert sorted(w.solution_id for w in weights) == sorted(fitting) and len(fitting) == 2
    assert [shown.id for shown in shown_solutions(Workspace(recipe))] == fitting


def test_where_no_solution_fits_that_is_said(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / "solve", tmp_path / "out" / "solve")
    recipe = recipe_of(finished, tmp_path / "out")
    monkeypatch.setattr("cruxtune.engines.reference.context_length_of", lambda config: 20)
    with pytest.raises(ModelError, match="every solution is longer than the engine's context"):
        plan(recipe, seconds=1.0)
    annotate(recipe)
    with pytest.raises(ArtifactError, match="has no evidence, as the solutions are longer than the engine's"):
        select(recipe)


def test_left_open_the_evidence_is_completed_where_the_context_is_longer(finished, crowded_run):
    directory, _ = relabel(recipe_of(finished, crowded_run), leave_open=True)
    annotate(recipe_of(finished, directory, "annotate.num_solutions=3"))
    (positions, rollouts), whole = evidence(directory), evidence(finished)
    assert positions == whole[0]
    assert [(r.solution_id, r.branch) for r in rollouts] == [(r.solution_id, r.branch) for r in whole[1]]


def test_right_solutions_that_were_never_annotated_are_left_out(finished, run):
    _, changes = relabel(recipe_of(finished, run))
    solutions = [list(read_records(path, Solution)) for path in (run / "solve", run / "relabel/solve")]
    right, kept = ([s.id for s in some if s.grade.verdict is Verdict.CORRECT] for some in solutions)
    assert len(kept) == 3 and set(kept) < set(right)
    assert changes.num_left_out == len(right) - 3


def test_a_second_run_finds_what_the_first_got_wrong_and_nothing_else(finished, run):
    recipe = recipe_of(finished, run, "engine.type=reference")
    positions, rollouts = evidence(run)
    wrong = [misjudged(rollout) for rollout in rollouts]
    write_evidence(recipe, positions, wrong)
    result = cruxtune(
        "recheck",
        finished.parent / "small.toml",
        f"output_dir={run}",
        "engine.type=reference",
        "--num-positions",
        8,
        "--seed",
        3,
        "--batch-size",
        7,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((run / "recheck/recheck.json").read_text())
    assert found["conditions"] == {"engine": "reference", "batch_size": 7, "dtype": "auto", "seed": 3}
    assert (found["num_positions"], found["num_rollouts"], found["share_different"]) == (8, 16, 0)
    assert sum(item["num_rollouts"] for item in found["margins"]) == 16
    sampled = sample(Workspace(recipe), Conditions(num_positions=8, seed=3))
    stored = [rollout for task in sampled for rollout in task.rollouts]
    mistakes = [r for r in stored if (r.branch.position + r.branch.rank) % 3 == 0]
    assert len(stored) == 16 and found["share_flipped"] == len(mistakes) / 16 > 0
    marked = [json.loads(line) for line in (run / "recheck/near-ties.jsonl").read_text().splitlines()]
    assert all(item["is_near_tie"] or item["differs"] for item in marked)


def test_the_conditions_of_a_second_run_go_over_the_recipe(finished, run):
    recipe = recipe_of(finished, run)
    other = Conditions(engine="reference", dtype="bfloat16", batch_size=3).apply(recipe)
    assert (other.engine.type, other.engine.batch_size, other.model.dtype) == ("reference", 3, "bfloat16")
    assert Conditions().apply(recipe) == recipe
    with pytest.raises(RecipeError, match=r"`engine\.url` is missing"):
        Conditions(engine="server").apply(recipe)
    with pytest.raises(RecipeError, match=r"`model\.dtype`"):
        Conditions(dtype="float7").apply(recipe)


@pytest.mark.parametrize("verb", ["relabel", "recheck"])
def test_without_evidence_the_stage_that_makes_it_is_named(finished, tmp_path, verb):
    result = cruxtune(verb, finished.parent / "small.toml", f"output_dir={tmp_path}")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "run `annotate` first" in result.stderr or "run `solve` first" in result.stderr
