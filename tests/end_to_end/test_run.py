"""`cruxtune run` from problems to the page: whole, again, stopped and gone on with."""

import shutil
import signal
import subprocess
import time

import pytest
from commands import artifacts, command, cruxtune, environment, hear_ctrl_c, write_recipe

from cruxtune.records import Position, Rollout, Solution, TokenWeights, Verdict
from cruxtune.store import read_records


def test_a_run_leaves_every_artifact(finished):
    names = set(artifacts(finished))
    assert {"report/report.html", "report/results.md", "train/sft-seed0/model/model.safetensors"} <= names
    assert {f"select/{name}/weights-00000.parquet" for name in ("sft", "cft", "random", "graded")} <= names
    assert "evaluate/base/test/responses-00001.parquet" in names
    assert not [name for name in names if name.endswith(".tmp")]


def test_evidence_covers_every_position_and_both_ranks(finished):
    solutions = {s.id: s for s in read_records(finished / "solve", Solution)}
    positions = list(read_records(finished / "annotate", Position))
    rollouts = list(read_records(finished / "annotate", Rollout))
    assert len(rollouts) == 2 * len(positions)
    for position in positions:
        solution = solutions[position.solution_id]
        assert solution.grade.verdict is Verdict.CORRECT
        assert solution.completion.token_ids[position.position] == position.token_id
    for rollout in rollouts:
        own = solutions[rollout.solution_id].completion.token_ids[rollout.branch.position]
        assert rollout.branch.token_id != own
        assert rollout.continuation.token_ids[0] == rollout.branch.token_id


def test_the_random_control_has_the_critical_count_and_its_own_tokens(finished):
    weights = {
        name: [
            w for item in read_records(finished / "select" / name, TokenWeights) for w in item.loss_weights
        ]
        for name in ("sft", "cft", "random")
    }
    assert 0 < sum(weights["cft"]) == sum(weights["random"]) < sum(weights["sft"]) == len(weights["sft"])
    assert weights["cft"] != weights["random"]


def test_a_second_run_does_nothing_and_says_so_in_seconds(finished):
    before = artifacts(finished)
    began = time.monotonic()
    result = cruxtune("run", finished.parent / "small.toml")
    assert result.returncode == 0
    assert "nothing to do" in result.stdout
    assert time.monotonic() - began < 30
    assert artifacts(finished) == before


def test_another_selection_is_added_to_a_finished_run_and_the_report_is_made_again(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    recipe = write_recipe(tmp_path, out)
    result = cruxtune("run", recipe, "select.strict2={type='strict', k=2}")
    assert result.returncode == 0, result.stderr
    assert "strict2" in (out / "report" / "report.html").read_text()
    before, after = artifacts(finished), artifacts(out)
    assert all(after[name] == before[name] for name in before if not name.startswith("report/"))


def test_a_finished_run_does_not_import_torch(finished):
    script = (
        "import sys; from cruxtune.recipe import load_recipe; from cruxtune.pipeline import run; "
        f"steps = list(run(load_recipe({str(finished.parent / 'small.toml')!r}))); "
        "assert len(steps) == 6 and 'torch' not in sys.modules"
    )
    subprocess.run([*command()[:1], "-c", script], check=True, env=environment(), timeout=120)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_artifacts(finished, tmp_path):
    recipe, out = write_recipe(tmp_path, tmp_path / "out"), tmp_path / "out"
    marks = (
        "solve/solutions-00001.parquet",
        "annotate/rollouts-00001.parquet",
        "train/sft-seed0/manifest.json",
        "evaluate/sft-seed0/test/responses-00000.parquet",
    )
    for mark in marks:
        kill_when(command("run", recipe), out / mark, signal.SIGKILL)
        assert (out / mark).exists()
    last = cruxtune("run", recipe)
    assert last.returncode == 0, last.stderr
    assert artifacts(out) == artifacts(finished)


def test_ctrl_c_leaves_with_one_line_and_goes_on(tmp_path):
    recipe, out = write_recipe(tmp_path, tmp_path / "out"), tmp_path / "out"
    code, errors = kill_when(
        command("solve", recipe), out / "solve" / "solutions-00000.parquet", signal.SIGINT
    )
    assert code == 130
    assert "Finished parts are kept" in errors and "Traceback" not in errors
    assert cruxtune("solve", recipe).returncode == 0


def kill_when(arguments, mark, how) -> tuple[int, str]:
    """Start a command and send it a signal as soon as a file is there.

    It hears Ctrl-C as it would from a terminal, even where the tests run in the background.
    """
    process = subprocess.Popen(
        arguments, env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    deadline = time.monotonic() + 120
    while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors
