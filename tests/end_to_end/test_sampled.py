"""Sampling what greedy decoding missed, through the command line: whole, in shards, after a stop."""

import re
import shutil
from pathlib import Path

import pytest
from commands import artifacts, cruxtune, write_recipe

from cruxtune.records import Origin, Problem, Sample, Solution, Verdict
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
    recipe = place(finished / "solve", tmp_path)
    stopped = cruxtune("sample", recipe, *TRIES, "--shard", "0/2", "--budget", "0s")
    assert "are left; the same command goes on" in stopped.stdout
    for shard in ("0/2", "1/2"):
        assert cruxtune("sample", recipe, *TRIES, "engine.batch_size=3", "--shard", shard).returncode == 0
    assert cruxtune("merge", recipe, *TRIES).returncode == 0
    assert artifacts(tmp_path / "out" / "sample") == artifacts(sampled / "sample")


def test_nothing_is_sampled_where_no_tries_are_asked_for(finished, tmp_path):
    result = cruxtune("sample", place(finished / "solve", tmp_path))
    assert result.returncode == 0 and "nothing is asked for" in result.stdout
    assert not (tmp_path / "out" / "sample").exists()


def test_samples_of_other_tries_are_refused(sampled):
    result = cruxtune("sample", sampled.parent / "small.toml", *TRIES, "sample.temperature=0.5")
    assert result.returncode == 1
    assert "was made with sample.temperature = 1.0, the recipe says 0.5" in result.stderr
