"""How much memory is free, and whether a model fits into it."""

import json
import os
from pathlib import Path

import psutil
import torch

from cruxtune.errors import ModelError
from cruxtune.models import WEIGHTS, ModelFiles

CONTROL_GROUPS = Path(os.sep, "sys", "fs", "cgroup")
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on a CPU also under the limit of the container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(psutil.virtual_memory().available, _free_in_container())


def require_memory(files: ModelFiles, dtype: str, device: torch.device) -> None:
    """Raises where the weights alone are larger than what is free: the system would kill the process."""
    needed, free = weight_bytes(files, dtype), free_bytes(device)
    if needed > free:
        raise ModelError(
            f"the weights of {files.name} take {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free "
            f"on {device}: use a smaller model, model.dtype = 'bfloat16', or another device"
        )


def weight_bytes(files: ModelFiles, dtype: str) -> int:
    """What the weights take in memory once they are of that type."""
    patterns = [pattern for pattern in WEIGHTS if any(files.directory.glob(pattern))][:1]
    stored = sum(path.stat().st_size for pattern in patterns for path in files.directory.glob(pattern))
    before = _BYTES.get(_stored_dtype(files), 4)
    return stored * _BYTES.get(dtype, before) // before


def _stored_dtype(files: ModelFiles) -> str:
    try:
        config = json.loads((files.directory / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        return ""  # transformers will say what is wrong with it
    return str(config.get("dtype") or config.get("torch_dtype"))


def _free_in_container() -> int:
    """Of Linux control groups, version 2 or 1; without a limit, more than any machine has."""
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            limit, used, stat = ((CONTROL_GROUPS / name).read_text() for name in (limit, used, stat))
            return int(limit) - int(used) + _cached(stat)
        except (OSError, ValueError):
            continue
    return 2**62


def _cached(stat: str) -> int:
    """Pages of files, such as weights that were just hashed: they count as used but give way."""
    amounts = dict(line.split() for line in stat.splitlines())
    return sum(int(amounts.get(name, 0)) for name in ("active_file", "inactive_file"))
