"""A disk that is really full: one line of error, and after there is room again the same bytes."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import artifacts, environment, write_recipe

ROOM = 24 * 2**10
"""Bytes beside the solutions: too few for the evidence."""


def has_own_mounts() -> bool:
    try:
        return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not has_own_mounts(), reason="needs a file system of its own (unshare)")
def test_a_full_disk_is_one_line_and_nothing_is_lost(finished, tmp_path):
    out, copy = tmp_path / "out", tmp_path / "copy"
    out.mkdir()
    annotate = shlex.join([sys.executable, "-m", "cruxtune", "annotate", str(write_recipe(tmp_path, out))])
    script = f"""
        mount -t tmpfs -o size={size_of(finished / "solve") + ROOM} tmpfs {out}
        cp -r {finished}/solve {out}
        {annotate} 2> {tmp_path}/errors
        echo $? > {tmp_path}/code
        mount -o remount,size=64m {out}
        {annotate} && cp -r {out}/annotate {copy}
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], env=environment(), check=False, timeout=240)
    assert done.returncode == 0
    errors = (tmp_path / "errors").read_text()
    assert (tmp_path / "code").read_text() == "1\n" and errors.count("\n") == 1, errors
    assert "the disk is full" in errors
    assert artifacts(copy) == artifacts(finished / "annotate")


def size_of(directory: Path) -> int:
    """In pages, as a file system in memory counts."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in directory.rglob("*") if path.is_file())
