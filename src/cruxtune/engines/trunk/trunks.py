"""Attention to the trunks that tokens share, by the compiled kernel (`trunks.c`)."""

import ctypes
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.stem import TrunkStem

LANES = 16
"""Tokens in a tile: see trunks.c."""
WIDEST = 256
"""Numbers a head, at most."""
_NUMBERS = ("tiles", "heads", "kv_heads", "dim", "value_dim")
_POINTERS = ("stem", "start", "count", "order", "prefix", "keys", "values", "length", "query")
_TARGETS = ("out", "lse")


class _Pass(ctypes.Structure):
    """`struct trunk_pass` of trunks.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _NUMBERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("query_head", ctypes.c_int64),
        ("query_token", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in _TARGETS),
        ("scale", ctypes.c_float),
    )


class TrunkKernel:
    """The compiled function."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._run = library.attend_trunks
        self._run.argtypes = [ctypes.POINTER(_Pass)]

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        tiles: "Tiles",
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to the trunks, and the log of its normaliser."""
        query = query if query.stride(2) == 1 else query.contiguous()
        heads, tokens, dim = query.shape
        out = query.new_empty(tokens, heads, tiles.value_dim)
        lse = query.new_empty(tokens, heads)
        sizes = (len(tiles.start), heads, tiles.kv_heads, dim, tiles.value_dim)
        places = (array.ctypes.data for array in tiles.arrays)
        stems = tiles.keys[layer].ctypes.data, tiles.values[layer].ctypes.data, tiles.length.ctypes.data
        targets = out.data_ptr(), lse.data_ptr()
        strides = query.stride()[:2]
        call = _Pass(*sizes, *places, *stems, query.data_ptr(), *strides, *targets, scale)
        if self._run(ctypes.byref(call)):
            raise ValueError(f"the kernel takes heads of {WIDEST} numbers at most, not of {dim}")
        return out, lse


class Tiles:
    """The tokens of a pass, sorted by their trunk and by how far they see, in tiles of one trunk each."""

    def __init__(self, stems: np.ndarray, prefix: Int[np.ndarray, " tokens"]) -> None:
        numbers = {stem: number for number, stem in enumerate(dict.fromkeys(stems))}
        number = np.array([numbers[stem] for stem in stems])
        self.order = np.lexsort((prefix, number))
        self.prefix = prefix[self.order].astype(np.int64)
        self._cut(np.searchsorted(number[self.order], np.arange(len(numbers) + 1)))
        self._find(list(numbers))

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """As the kernel wants them."""
        return self.stem, self.start, self.count, self.order, self.prefix

    def _cut(self, bounds: Int[np.ndarray, " stems_and_end"]) -> None:
        starts = [np.arange(start, end, LANES) for start, end in pairwise(bounds)]
        self.stem = np.repeat(np.arange(len(starts)), [len(each) for each in starts])
        self.start = np.concatenate(starts)
        self.count = np.minimum(bounds[self.stem + 1] - self.start, LANES)

    def _find(self, stems: list[TrunkStem]) -> None:
        """Where the trunks lie in memory, by layer."""
        self.keys, self.values = (
            np.array([[kept.data_ptr() for kept in stem_layers] for stem_layers in layers]).T.copy()
            for layers in ([stem.keys for stem in stems], [stem.values for stem in stems])
        )
        self.length = np.array([stem.keys[0].shape[2] for stem in stems])
        self.kv_heads, self.value_dim = stems[0].keys[0].shape[1], stems[0].values[0].shape[3]


class TiledTrunks:
    """What the tokens of a pass see of their trunks, by the kernel."""

    def __init__(self, kernel: TrunkKernel, stems: np.ndarray, prefix: Int[np.ndarray, " tokens"]) -> None:
        self._kernel = kernel
        self._tiles = Tiles(stems, prefix)

    def attend(
        self, layer: int, query: Float[Tensor, "heads tokens dim"], scale: float
    ) -> tuple[Float[Tensor, "tokens heads dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to the trunks, and the log of its normaliser."""
        return self._kernel.attend(layer, query, self._tiles, scale)
