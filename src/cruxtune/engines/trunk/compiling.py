"""The kernels for a CPU, compiled by the machine's own C compiler when they are first needed."""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from transformers import PreTrainedModel

from cruxtune.engines.trunk.capacity import is_out_of_memory
from cruxtune.engines.trunk.rows import RowKernel
from cruxtune.engines.trunk.trunks import TrunkKernel

logger = logging.getLogger(__name__)

SOURCES = tuple(Path(__file__).with_name(name) for name in ("rows.c", "trunks.c"))
FLAGS = ("-O3", "-march=native", "-mtune=native", "-ffast-math", "-funroll-loops", "-fopenmp", "-fPIC")


class Kernels:
    """The compiled functions."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.rows = RowKernel(library)
        self.trunks = TrunkKernel(library)


@cache
def kernels() -> Kernels | None:
    """Compiled once a machine; None, with a message, where that fails."""
    try:
        return _load(_library())
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        logger.warning(
            "no kernel for attention, which takes up to three times as long without: %s "
            "(install a C compiler; engine.kernel = false says that you know)",
            str(error).splitlines()[0],
        )
        return None


def _load(library: Path) -> Kernels:
    """A file that is damaged is made again, once."""
    try:
        return Kernels(ctypes.CDLL(str(library)))
    except (OSError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        library.unlink()
        return Kernels(ctypes.CDLL(str(_library())))


def suits(model: PreTrainedModel) -> bool:
    """Whether the kernels compute what the model computes: float32 on a CPU."""
    return model.device.type == "cpu" and model.dtype == torch.float32


def _library() -> Path:
    """The compiled file, in the user's cache; named by all that it depends on."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "cc"
    sources = (source.read_text(encoding="utf-8") for source in SOURCES)
    parts = (*sources, *FLAGS, compiler, _processor(), torch.__version__)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cruxtune"
    library = folder / f"kernels-{name}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(compiler, library)
    return library


def _compile(compiler: str, library: Path) -> None:
    """Linked without OpenMP's library: its functions are those that torch has loaded, with their threads.

    Without -ffast-math too, which would change the rounding of the whole process.
    """
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        compiled = [Path(folder) / f"{source.stem}.o" for source in SOURCES]
        linked = Path(folder) / "kernels.so"
        commands = [
            [*shlex.split(compiler), *FLAGS, "-c", str(source), "-o", str(target)]
            for source, target in zip(SOURCES, compiled, strict=True)
        ]
        commands.append([*shlex.split(compiler), "-shared", *map(str, compiled), "-o", str(linked), "-lm"])
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        linked.replace(library)


def _processor() -> str:
    """What code for this very processor depends on; home directories may be shared by several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
