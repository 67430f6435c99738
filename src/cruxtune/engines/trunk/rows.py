"""Attention to what rows wrote themselves, by the compiled kernel (`rows.c`)."""

import ctypes

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

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
