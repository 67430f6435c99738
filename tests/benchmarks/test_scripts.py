"""The benchmark scripts run, and their files say what was measured."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from annotation.options import parse_options

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture(scope="module")
def annotated(tmp_path_factory) -> tuple[dict, str]:
    """The numbers and the Markdown of a short benchmark."""
    folder = tmp_path_factory.mktemp("benchmark")
    arguments = ["--lengths", 50, "--shapes", "1x1", "--solutions", 1, "--repeats", 1, "--threads", 1]
    arguments += ["--methods", "alone", "batched", "no-drafts", "lazy", "lazy-workers", "--sample", 5]
    done = run("annotate.py", *arguments, "--cache", folder, "--output", folder / "out.json")
    assert done.returncode == 0, done.stderr
    markdown = (folder / "out.md").read_text(encoding="utf-8")
    return json.loads((folder / "out.json").read_text(encoding="utf-8")), markdown


@pytest.fixture(scope="module")
def by_method(annotated) -> dict[str, dict]:
    (table,) = annotated[0]["tables"]
    return {numbers["method"]: numbers for numbers in table["methods"]}


def test_all_methods_give_the_same_labels(by_method):
    assert list(by_method) == ["alone", "batched", "no-drafts", "lazy", "lazy-workers"]
    assert [numbers["has_same_labels"] for numbers in by_method.values()] == [None, True, True, True, True]
    assert all(numbers["num_differing"] == 0 < numbers["num_compared"] for numbers in by_method.values())


def test_every_eager_method_continues_every_branch(annotated, by_method):
    (length,) = annotated[0]["tables"][0]["lengths"]
    assert [by_method[name]["rollouts"] for name in ("alone", "batched", "no-drafts")] == [2 * length] * 3
    assert length <= by_method["lazy"]["rollouts"] < 2 * length
    assert by_method["lazy-workers"]["rollouts"] == by_method["lazy"]["rollouts"]
    assert by_method["batched"]["rollout_tokens"] == by_method["no-drafts"]["rollout_tokens"]


def test_costs_are_numbers_that_fit_together(by_method):
    batched, trunk = by_method["batched"], by_method["no-drafts"]
    assert trunk["speed_up"] == pytest.approx(batched["seconds"] / trunk["seconds"])
    assert batched["forward_tokens"] > trunk["forward_tokens"] > trunk["rollout_tokens"] // 2
    assert by_method["alone"]["measured"] == 5
    assert by_method["alone"]["seconds_error"] > 0 and trunk["seconds_error"] is None


def test_the_record_says_where_it_comes_from(annotated):
    numbers, markdown = annotated
    assert numbers["conditions"]["threads"] == 1
    assert {"processor", "torch", "commit"} <= numbers["conditions"].keys()
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 5 and len({row.count("|") for row in rows}) == 1
    assert re.search(r"5 branches, scaled up \| [\d.]+ ± [\d.]+ \|", markdown)


def test_trainers_of_one_objective_are_measured_side_by_side(tmp_path):
    sizes = ["--vocabulary", 2000, "--hidden", 64, "--layers", 1, "--length", 40, "--steps", 2, "--batch", 4]
    done = run("train.py", *sizes, "--threads", 1, "--output", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    (table,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["tables"]
    by_method = {numbers["method"]: numbers for numbers in table["methods"]}
    assert list(by_method) == ["ours", "nll", "chunked_nll", "full"]
    assert by_method["chunked_nll"]["speed_up"] == 1.0
    for numbers in by_method.values():
        assert len(numbers["seconds"]) == 2 and len(numbers["losses"]) == 4
        assert numbers["losses"] == pytest.approx(by_method["full"]["losses"], rel=1e-3)
        assert 0 < numbers["training_gib"] < numbers["peak_gib"]
    rows = (tmp_path / "out.md").read_text(encoding="utf-8").count("\n|")
    assert rows == 2 + 4


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--methods", "lasy", "invalid choice: 'lasy'"),
        ("--lengths", "60", "invalid choice: 60"),
        ("--shapes", "2", "'' is not a whole number from 1 on"),
        ("--sample", "1", "'1' is not a whole number from 2 on"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(option, value, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_options(None, [option, value])
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(said.splitlines()) == 1 and complaint in said


@pytest.mark.slow
def test_exactness_compares_every_branch():
    done = run("exactness.py", "--solutions", 2, "--limit", 60)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^(\d+) branches of 2 solutions, 0 differ$", done.stdout, re.MULTILINE)
    assert found and int(found[1]) > 50
