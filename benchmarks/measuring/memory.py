"""How much memory a process holds, and held at most: on its GPU if it has one."""

from pathlib import Path

import psutil
import torch

STATUS = Path("/proc/self/status")
"""rusage would count the parent's memory too."""


def peak_gib(device: str) -> float | None:
    """The most memory that this process held; None where the system doesn't say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return _status("VmHWM")


def peak_gib_of_children() -> float | None:
    """The sum of what the processes under this one held at most, each at its own time."""
    found = [_status("VmHWM", Path(f"/proc/{child.pid}/status")) for child in psutil.Process().children(True)]
    return sum(gib for gib in found if gib is not None) or None


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


def _status(name: str, path: Path = STATUS) -> float | None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    sizes = [int(line.split()[1]) / 2**20 for line in lines if line.startswith(name)]
    return sizes[0] if sizes else None
