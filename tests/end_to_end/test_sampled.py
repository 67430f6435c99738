"""Sampling what greedy decoding missed: whole, in shards, after a stop; and training on it."""

import re
import shutil
from pathlib import Path

import pytest
from commands import artifacts, cruxtune, write_recipe

from cruxtune.recipe import load_recipe
from cruxtune.records import Origin, Problem, Sample, Solution, TokenWeights, Verdict
from cruxtune.stages import lint, sample, score, select, show, train
from cruxtune.stages.facts import read_facts
from cruxtune.stages.shards import merge
from cruxtune.stages.terms import Shard, Terms
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest, read_records

TRIES = ("sample.num_tries=4", "sample.part_size=4")


def place(solve: Path, folder: Path) -> Path:
    """A recipe whose problems are solved."""
    shutil.copytree(solve, folder / "out" / "solve")
    return write_recipe(folder, folder / "out")


@pytest.fixture(scope="module")
def sampled(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    result = cruxtune("sample", place(finished / "solve", folder), *TRIES)
    assert result.returncode == 0, result.stderr
    assert re.search(r"num_correct \d+, num_problems \d+, num_tries \d+, solved_within_1 \d+", result.stdout)
    assert "next: cruxtune annotate" in result.stdout
    return folder / "out"


def test_each_missed_problem_is_tried_until_it_is_right(sampled):
    greedy = {s.problem_id: s.grade.verdict for s in read_records(sampled / "solve", Solution)}
    samples = list(read_records(sampled / "sample", Sample))
    missed = [id for id, verdict in greedy.items() if verdict is not Verdict.CORRECT]
    assert [sample.solution.problem_id for sample in samples] == missed
    assert [problem.id for problem in read_records(sampled / "sample", Problem)] == missed
    right = [s for s in samples if s.solution.grade.verdict is Verdict.CORRECT]
    assert 0 < len(right) < len(samples)
    assert all(s.num_tries == 4 for s in samples if s not in right)
    assert all(s.solution.origin is Origin.SAMPLED for s in samples)
    counts = read_manifest(sampled / "sample").counts
    assert counts["num_correct"] == counts["solved_within_4"] == len(right)
    assert counts["solved_within_1"] == sum(s.num_tries == 1 for s in right)


def test_shards_stops_and_other_batches_give_the_same_bytes(finished, sampled, tmp_path):
    recipe = load_recipe(place(finished / "solve", tmp_path), [*TRIES, "engine.batch_size=3"])
    first, second = Shard(0, 2), Shard(1, 2)
    stopped = sample(recipe, Terms(shard=first, budget=0.0))
    assert stopped.note == "stopped: 4 of 4 problems are left; the same command goes on"
    for shard in (first, second):
        assert not sample(recipe, Terms(shard=shard)).note
    merge(recipe)
    assert artifacts(tmp_path / "out" / "sample") == artifacts(sampled / "sample")


@pytest.fixture
def copied(finished, sampled, tmp_path) -> Path:
    """A run that is annotated and sampled."""
    later = shutil.ignore_patterns("select", "train", "evaluate", "report")
    shutil.copytree(finished, tmp_path / "out", ignore=later)
    shutil.copytree(sampled / "sample", tmp_path / "out" / "sample")
    return tmp_path / "out"


def weights(recipe, name):
    rows = read_records(recipe.output_dir / "select" / name, TokenWeights)
    return {row.solution_id: row.loss_weights for row in rows}


def total(rows):
    return sum(weight > 0 for row in rows.values() for weight in row)


def test_sampled_solutions_are_added_to_the_greedy_ones(finished, sampled, copied, tmp_path):
    checkpoint = finished / "train" / "sft-seed0" / "model"
    recipe = load_recipe(
        write_recipe(tmp_path, copied),
        [
            *TRIES,
            "train.num_epochs=1",
            f"select.gain={{type='score', model='{checkpoint}', share=0.15, solutions='sampled'}}",
            "select.unsure={type='entropy', match='gain'}",
            "select.doubt={type='low_confidence', match='gain'}",
            "select.more=['cft', 'gain']",
            "select.control={type='random', match='more'}",
            "select.everything={type='all', solutions=['greedy', 'sampled']}",
            "train.selections=['more', 'everything']",
        ],
    )
    assert sample(recipe).made == ()
    score(recipe)
    select(recipe)
    found = {name: weights(recipe, name) for name in recipe.select}
    new, greedy = set(found["gain"]), set(found["cft"])
    assert new and all(id.endswith("#sampled") for id in new) and not new & greedy
    num_tokens = sum(map(len, found["gain"].values()))
    assert total(found["gain"]) == total(found["unsure"]) == total(found["doubt"])
    assert total(found["gain"]) == int(0.15 * num_tokens + 0.5)
    assert found["more"] == {**found["cft"], **found["gain"]}
    assert total(found["control"]) == total(found["more"]) and set(found["control"]) == new | greedy
    assert found["unsure"] != found["doubt"]
    train(recipe)
    for name in ("more-seed0", "everything-seed0"):
        counts = read_manifest(recipe.output_dir / "train" / name).counts
        assert counts["num_examples"] == len(new | greedy)
    assert counts["num_weighted_tokens"] == total(found["everything"])
    assert all(not findings.errors for findings in lint(recipe))
    (shown,) = show(recipe, "gain", 1)
    assert sum(w > 0 for w in shown.weights) == sum(found["gain"][shown.solution_id])
    facts = dict(read_facts(Workspace(recipe)))
    assert facts["the others solved by sampling"].startswith(f"{len(new)} of 8 (within so many tries, 1: ")
    assert "share selected by more (greedy, sampled)" in facts


def test_nothing_is_sampled_where_no_tries_are_asked_for(finished, tmp_path):
    result = cruxtune("sample", place(finished / "solve", tmp_path))
    assert result.returncode == 0 and "nothing is asked for" in result.stdout
    assert not (tmp_path / "out" / "sample").exists()


def test_samples_of_other_tries_are_refused(sampled):
    result = cruxtune("sample", sampled.parent / "small.toml", *TRIES, "sample.temperature=0.5")
    assert result.returncode == 1
    assert "was made with sample.temperature = 1.0, the recipe says 0.5" in result.stderr
