"""How much memory a process holds, and held at most: on its GPU if it has one."""

from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
"""rusage would count the parent's memory too."""


def peak_gib(device: str) -> float | None:
    """The most memory that this process held; None where the system doesn't say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return _status("VmHWM")


def held_gib(device: str) -> float | None:
    """What it holds now."""
    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated() / 2**30
    return _status("VmRSS")


def forget_peak(device: str) -> None:
    """From here on, the peak is that of what follows, where the system can do so."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(name: str) -> float | None:
    lines = STATUS.read_text(encoding="utf-8").splitlines() if STATUS.exists() else []
    sizes = [int(line.split()[1]) / 2**20 for line in lines if line.startswith(name)]
    return sizes[0] if sizes else None
