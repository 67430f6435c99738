"""A stage on a Ray cluster writes what one process writes, though an actor is killed half-way."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import artifacts, cruxtune, start, write_recipe
from processes import children_of

pytest.importorskip("ray")

CLUSTER = ("--ray", "cluster.num_actors=2", "cluster.solutions_per_task=1", "engine.type=reference")


def actors_of(driver: int) -> list[int]:
    names = {pid: Path(f"/proc/{pid}/cmdline") for pid in children_of(driver)}
    return [pid for pid, path in names.items() if path.exists() and b"ray::Member" in path.read_bytes()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actor to kill in /proc")
def test_evidence_is_the_same_though_an_actor_is_killed_half_way(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished / "solve", out / "solve")
    process = start("annotate", write_recipe(tmp_path, out), *CLUSTER, "engine.batch_size=4")
    deadline = time.monotonic() + 120
    while not list(out.glob("annotate/journal/*/rollouts-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    actors = actors_of(process.pid)
    assert len(actors) == 2
    os.kill(actors[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "an actor died on the solutions" in errors and "is replaced" in errors
    assert artifacts(out / "annotate") == artifacts(finished / "annotate")
    assert actors_of(os.getpid()) == []


def test_solutions_are_the_same_and_mistakes_are_one_line(finished, tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "out")
    result = cruxtune("solve", recipe, *CLUSTER)
    assert result.returncode == 0, result.stderr
    assert artifacts(tmp_path / "out" / "solve") == artifacts(finished / "solve")
    both = cruxtune("annotate", recipe, *CLUSTER, "--shard", "0/2")
    assert both.returncode == 1 and "two ways to spread the work" in both.stderr
