"""A model that doesn't fit is refused in one line before it is loaded; what is free is counted fairly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cruxtune.engines import memory
from cruxtune.engines.loading import load_both
from cruxtune.engines.memory import free_bytes, require_memory, weight_bytes
from cruxtune.errors import ModelError
from cruxtune.models import ModelFiles, find_model

CPU = torch.device("cpu")
SMALL_MACHINE = (
    "import sys, cruxtune.engines.memory as memory; from cruxtune.cli import main; "
    "memory.free_bytes = lambda device: 2**20; sys.argv[0] = 'cruxtune'; main()"
)


@pytest.fixture
def files(tiny_files, tmp_path) -> ModelFiles:
    """A copy that may be changed."""
    return find_model(str(shutil.copytree(tiny_files, tmp_path / "model")))


def stored_bytes(files: ModelFiles) -> int:
    return (files.directory / "model.safetensors").stat().st_size


def set_config(files: ModelFiles, **values: object) -> None:
    path = files.directory / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in (config | values).items() if value}))


@pytest.mark.parametrize(
    ("stored", "dtype", "factor"),
    [
        ("float32", "auto", 1),
        ("float32", "bfloat16", 1 / 2),
        ("bfloat16", "auto", 1),
        ("bfloat16", "float32", 2),
        ("float16", "bfloat16", 1),
        (None, "float32", 1),
    ],
)
def test_weights_take_what_their_type_takes(files, stored, dtype, factor):
    set_config(files, dtype=stored)
    assert weight_bytes(files, dtype) == int(stored_bytes(files) * factor)


def test_weights_that_are_there_in_two_formats_count_once(files):
    (files.directory / "pytorch_model.bin").write_bytes(b"0" * 10**7)
    assert weight_bytes(files, "auto") == stored_bytes(files)


def test_a_model_that_fits_to_the_byte_is_loaded_and_a_larger_one_is_not(files, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: stored_bytes(files))
    require_memory(files, "float32", CPU)
    monkeypatch.setattr(memory, "free_bytes", lambda device: stored_bytes(files) - 1)
    with pytest.raises(ModelError, match=r"model\.dtype = 'bfloat16'"):
        load_both(files, trust_remote_code=False, dtype="float32", device="cpu")
    model, _ = load_both(files, trust_remote_code=False, dtype="bfloat16", device="cpu")
    assert model.dtype is torch.bfloat16


def test_the_command_says_in_one_line_what_is_missing_and_what_to_do(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SMALL_MACHINE, "solve", "tiny", f"output_dir={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "cruxtune: error: the weights of tiny take 0.0 GiB and 0.0 GiB are free on cpu: use a smaller model, "
        "model.dtype = 'bfloat16', or another device\n"
    )


def control_groups(root: Path, numbers: dict[str, object]) -> Path:
    for name, value in numbers.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    "numbers",
    [
        {
            "memory.max": 1000,
            "memory.current": 900,
            "memory.stat": "anon 200\ninactive_file 400\nactive_file 300",
        },
        {
            "memory/memory.limit_in_bytes": 1000,
            "memory/memory.usage_in_bytes": 900,
            "memory/memory.stat": "rss 200\ninactive_file 400\nactive_file 300\ntotal_inactive_file 400",
        },
    ],
    ids=["version 2", "version 1"],
)
def test_the_limit_of_a_container_holds_and_pages_of_files_count_as_free(tmp_path, monkeypatch, numbers):
    monkeypatch.setattr(memory, "CONTROL_GROUPS", control_groups(tmp_path, numbers))
    assert free_bytes(CPU) == 1000 - 900 + 400 + 300


@pytest.mark.parametrize("numbers", [{}, {"memory.max": "max", "memory.current": 900, "memory.stat": ""}])
def test_without_a_limit_it_is_what_the_machine_has(tmp_path, monkeypatch, numbers):
    monkeypatch.setattr(memory, "CONTROL_GROUPS", control_groups(tmp_path, numbers))
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 77}))
    assert free_bytes(CPU) == 77
