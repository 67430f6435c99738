"""Several processes of this machine write what one writes, though one is killed half-way."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import artifacts, cruxtune, start, write_recipe
from processes import children_of

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")

WORKERS = ("--workers", "2", "engine.type=reference", "engine.batch_size=4")


def workers_of(parent: int) -> list[int]:
    names = {pid: Path(f"/proc/{pid}/cmdline") for pid in children_of(parent)}
    return [pid for pid, path in names.items() if path.exists() and b"stages.worker" in path.read_bytes()]


def wait_for(pattern: str, directory: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(directory.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_evidence_is_the_same_though_a_worker_is_killed_half_way(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "solve", out / "solve")
    process = start("annotate", write_recipe(tmp_path, out), *WORKERS)
    wait_for("annotate/journal/*/rollouts-*", out)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "a worker died on the solutions" in errors and "is replaced: killed by signal 9" in errors
    assert artifacts(out / "annotate") == artifacts(finished / "annotate")


def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "solve", out / "solve")
    recipe = write_recipe(tmp_path, out)
    process = start("annotate", recipe, *WORKERS)
    wait_for("annotate/journal/*/rollouts-*", out)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in errors
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    result = cruxtune("annotate", recipe, "--workers", "2")
    assert result.returncode == 0, result.stderr
    assert artifacts(out / "annotate") == artifacts(finished / "annotate")


def test_solutions_are_the_same_and_mistakes_are_one_line(finished, tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "out")
    wrong = cruxtune("solve", recipe, *WORKERS, "engine.device=cuda:9")
    assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1, wrong.stderr
    assert wrong.stderr.startswith("cruxtune: error: ")
    result = cruxtune("solve", recipe, *WORKERS)
    assert result.returncode == 0, result.stderr
    assert artifacts(tmp_path / "out" / "solve") == artifacts(finished / "solve")
    both = cruxtune("annotate", recipe, "--workers", "2", "--ray")
    assert both.returncode == 1 and "two ways to spread the work" in both.stderr
