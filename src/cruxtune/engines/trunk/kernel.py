"""Attention to what rows wrote themselves, compiled by the machine's own C compiler when first needed."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("rows.c")
FLAGS = ("-O3", "-march=native", "-mtune=native", "-ffast-math", "-funroll-loops", "-fopenmp", "-fPIC")
_NUMBERS = ("tokens", "heads", "kv_heads", "dim", "value_dim", "page", "table_width", "longest")
_STRIDES = ("query_head", "query_token", "key_head", "key_token", "value_head", "value_token")
_POINTERS = ("row", "column", "table", "query", "key", "value")


class _Pass(ctypes.Structure):
    """`struct pass` of rows.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _NUMBERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _STRIDES),
        *((name, ctypes.c_void_p) for name in ("keys", "values", "out", "lse")),
        ("scale", ctypes.c_float),
    )


class RowPlaces:
    """Where the tokens of a pass stand, the same for every layer."""

    def __init__(
        self,
        row: Int[np.ndarray, " tokens"],
        column: Int[np.ndarray, " tokens"],
        table: Int[np.ndarray, "rows width"],
    ) -> None:
        self._arrays = (row, column, table)  # the pointers don't keep them
        self.pointers = tuple(array.ctypes.data for array in self._arrays)
        self.table_width = table.shape[1]
        self.longest = int(column.max()) + 1


class RowKernel:
    """The compiled function."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._run = library.attend_rows
        self._run.argtypes = [ctypes.POINTER(_Pass)]

    def attend(
        self,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens value_dim"],
        keys: Float[Tensor, "pages page kv_heads dim"],
        values: Float[Tensor, "pages page kv_heads value_dim"],
        places: RowPlaces,
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Keep keys and values of the tokens in their rows' pages; attention to all up to them, and the log
        of its normaliser."""
        query, key, value = (t if t.stride(2) == 1 else t.contiguous() for t in (query, key, value))
        heads, tokens, dim = query.shape
        out = query.new_empty(tokens, heads, value.shape[2])
        lse = query.new_empty(tokens, heads)
        sizes = (tokens, heads, len(key), dim, value.shape[2])
        strides = (stride for tensor in (query, key, value) for stride in tensor.stride()[:2])
        tensors = (tensor.data_ptr() for tensor in (query, key, value))
        kept = (tensor.data_ptr() for tensor in (keys, values, out, lse))
        paging = keys.shape[1], places.table_width, places.longest
        call = _Pass(*sizes, *paging, *places.pointers, *tensors, *strides, *kept, scale)
        if self._run(ctypes.byref(call)):
            raise torch.OutOfMemoryError("out of memory: no room for attention scores")
        return out, lse


@cache
def row_kernel() -> RowKernel | None:
    """The kernel, compiled once a machine; None, with a message, where that fails."""
    try:
        return _load(_library())
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        logger.warning(
            "no kernel for attention, which takes up to three times as long without: %s "
            "(install a C compiler; engine.kernel = false says that you know)",
            str(error).splitlines()[0],
        )
        return None


def _load(library: Path) -> RowKernel:
    """A file that is damaged is made again, once."""
    try:
        return RowKernel(ctypes.CDLL(str(library)))
    except (OSError, AttributeError):
        library.unlink()
        return RowKernel(ctypes.CDLL(str(_library())))


def suits(model: PreTrainedModel) -> bool:
    """Whether the kernel computes what the model computes: float32 on a CPU."""
    return model.device.type == "cpu" and model.dtype == torch.float32


def _library() -> Path:
    """The compiled file, in the user's cache; named by all that it depends on."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "cc"
    parts = (SOURCE.read_text(encoding="utf-8"), *FLAGS, compiler, _processor(), torch.__version__)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cruxtune"
    library = folder / f"rows-{name}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(compiler, library)
    return library


def _compile(compiler: str, library: Path) -> None:
    """Linked without OpenMP's library: its functions are those that torch has loaded, with their threads.

    Without -ffast-math too, which would change the rounding of the whole process.
    """
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        compiled, linked = Path(folder) / "rows.o", Path(folder) / "rows.so"
        for command in (
            [compiler, *FLAGS, "-c", str(SOURCE), "-o", str(compiled)],
            [compiler, "-shared", str(compiled), "-o", str(linked), "-lm"],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        linked.replace(library)


def _processor() -> str:
    """What code for this very processor depends on; home directories may be shared by several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
