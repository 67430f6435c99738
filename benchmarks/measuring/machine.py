"""Where and with what was measured."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

ROOT = Path(__file__).parents[2]


def conditions(device: str, dtype: str, threads: int | None) -> dict[str, Any]:
    """What a number is worth nothing without."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else None,
        "threads": threads or torch.get_num_threads(),
        "dtype": dtype,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "commit": git("rev-parse", "HEAD"),
        "has_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def git(*command: str) -> str | None:
    """None where this is no checkout, or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
