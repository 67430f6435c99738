"""An annotation that is killed, stopped or paused: what it found out is kept, and used as far as it goes."""

import json
import random
import shutil
import signal
import time

import pytest
from commands import artifacts, cruxtune, start, write_recipe

from cruxtune.records import TokenWeights
from cruxtune.store import read_records

SLOWLY = ("engine.type=reference", "engine.batch_size=8")


@pytest.fixture
def solved(finished, tmp_path):
    """A recipe whose problems are solved."""
    shutil.copytree(finished / "solve", tmp_path / "out" / "solve")
    return write_recipe(tmp_path, tmp_path / "out")


def journal_files(out) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.glob("annotate/journal/*/rollouts-*.parquet")}


def stop_after(process, out, num_files, pause, how=signal.SIGKILL) -> tuple[int, str]:
    """Send a signal some time after so many new files are in the journal."""
    before, deadline = journal_files(out), time.monotonic() + 120
    while len(journal_files(out) - before) < num_files and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_an_annotation_stopped_at_any_moment_is_usable_and_ends_with_the_same_bytes(finished, solved):
    out, rng = solved.parent / "out", random.Random(0)
    for how, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        process = start("annotate", solved, *SLOWLY)
        code, errors = stop_after(process, out, rng.randint(1, 3), pause=rng.uniform(0, 0.4), how=how)
        assert code == expected
    assert "the same command goes on, with --budget 0s it makes usable" in errors
    assert journal_files(out) and "--budget 0s" in cruxtune("select", solved).stderr
    kill_when_written(start("annotate", solved, *SLOWLY), out / "annotate" / "rollouts-00000.parquet")
    covered = check_partial_evidence_is_used(solved, out)
    last = cruxtune("annotate", solved)
    assert last.returncode == 0, last.stderr
    assert artifacts(out / "annotate") == artifacts(finished / "annotate")
    refused = cruxtune("select", solved)
    assert refused.returncode == 1 and covered < 3
    assert "other contents of `annotate`" in refused.stderr and f"delete {out / 'select'}" in refused.stderr


@pytest.mark.parametrize("verb", ["annotate", "run"])
def test_a_budget_too_short_for_one_solution_says_to_go_on(verb, solved):
    stopped = cruxtune(verb, solved, "--budget", "0s")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped before the first solution was through: the same command goes on" in stopped.stdout
    assert stopped.stdout.endswith("next: the same command\n")
    assert not (solved.parent / "out" / "select").exists()


def check_partial_evidence_is_used(recipe, out) -> int:
    """A budget of nothing makes evidence usable; returns how many solutions it covers."""
    paused = cruxtune("annotate", recipe, "--budget", "0s")
    manifest = json.loads((out / "annotate" / "manifest.json").read_text())
    covered = int(manifest["counts"]["num_solutions"])
    assert 1 <= covered < manifest["counts"]["num_wanted"] == 3 and not manifest["complete"]
    assert f"covers {covered} of 3 solutions, a fair sample" in paused.stdout
    selected = cruxtune("select", recipe)
    assert selected.returncode == 0 and f"covers {covered} of 3 solutions" in selected.stderr
    assert len(list(read_records(out / "select" / "sft", TokenWeights))) == covered
    return covered


def kill_when_written(process, mark) -> None:
    while not mark.exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate(timeout=60)
