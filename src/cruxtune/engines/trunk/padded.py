"""Keys and values as one block a cohort, every row as long as the longest: for any device and dtype."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cruxtune.engines.trunk.attention import attend, hide
from cruxtune.engines.trunk.cache import Places, Removal, bytes_per_token
from cruxtune.engines.trunk.shared import SharedTrunks
from cruxtune.engines.trunk.stem import TrunkStem

CLEAN = 16
"""Columns that are made clean at a time."""


class PaddedCache:
    """Keys and values of the rows of a cohort, growing with what they write.

    Columns that any row has reached are clean in all rows: what they hold is finite, written or zero, so that
    behind a mask it counts for nothing. Memory beyond is not touched.
    """

    pads = True
    keys: Float[Tensor, "layers rows capacity kv_heads dim"]
    values: Float[Tensor, "layers rows capacity kv_heads value_dim"]

    def __init__(self, stem: TrunkStem, num_rows: int, capacity: int, memory: "PaddedMemory") -> None:
        self._memory = memory
        self._num_rows = num_rows
        self.keys, self.values = (
            memory.take(like, (len(stem.keys), num_rows, capacity, like.shape[1], like.shape[3]))
            for like in (stem.keys[0], stem.values[0])
        )
        self._num_clean = 0

    def prepare(self, places: Places) -> None:
        """Room for the tokens of a pass, and all that is the same for every layer."""
        device = self.keys.device
        self._num_keys = int(places.last.max()) + 1
        self._reserve(self._num_keys)
        self._row = torch.as_tensor(places.row_of_token, device=device)
        self._column = torch.as_tensor(places.column_of_token, device=device)
        self._width = places.columns.shape[1]
        used = places.is_used.reshape(-1)
        self._gaps = None if used.all() else _Gaps(used, device)
        last_seen = torch.as_tensor(places.columns, device=device)[..., None]
        hidden = torch.arange(self._num_keys, device=device) > last_seen
        self._mask = hide(hidden, self.keys.dtype)[:, None]

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens value_dim"],
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to what each row wrote itself, and the log of its normaliser."""
        self.keys[layer][self._row, self._column] = key.transpose(0, 1)
        self.values[layer][self._row, self._column] = value.transpose(0, 1)
        keys, values = (
            kept[layer, : self._num_rows, : self._num_keys].transpose(1, 2)
            for kept in (self.keys, self.values)
        )
        heads, _, dim = query.shape
        filled = query[:, self._gaps.token_at] if self._gaps else query
        by_row = filled.reshape(heads, self._num_rows, self._width, dim).transpose(0, 1)
        out, lse = (part.transpose(1, 2) for part in attend(by_row, keys, values, self._mask, scale))
        out, lse = out.reshape(-1, heads, out.shape[-1]), lse.reshape(-1, heads)
        return (out[self._gaps.used], lse[self._gaps.used]) if self._gaps else (out, lse)

    def drop(self, removal: Removal, longest: int) -> None:
        """Let rows go; memory is given back once most have gone, if it is wanted."""
        if len(removal.holes):
            self._copy(removal.movers, removal.holes, longest)
        self._num_rows = removal.num_kept
        if not self._num_rows:
            self._give_back()
        elif self._memory.is_tight and self._num_rows <= self.keys.shape[1] // 4:
            self._move(self._num_rows, self.keys.shape[2])

    def absorb(self, other: "PaddedCache") -> None:
        """Take over all rows of another cache, which is given back."""
        total = self._num_rows + other._num_rows
        capacity = max(self.keys.shape[2], other._num_clean)
        if total > self.keys.shape[1] or capacity > self.keys.shape[2]:
            self._move(total, capacity)
        if other._num_clean > self._num_clean:
            self._reserve(other._num_clean)
        for own, theirs in ((self.keys, other.keys), (self.values, other.values)):
            own[:, self._num_rows : total, : other._num_clean] = theirs[
                :, : other._num_rows, : other._num_clean
            ]
            own[:, self._num_rows : total, other._num_clean : self._num_clean] = 0
        self._num_rows = total
        other._give_back()

    def _reserve(self, length: int) -> None:
        """Room for `length` tokens in each row."""
        if length > self.keys.shape[2]:
            self._move(self._num_rows, length * 3 // 2)
        if length > self._num_clean:
            end = min(length + CLEAN, self.keys.shape[2])
            for block in (self.keys, self.values):
                block[:, : self._num_rows, self._num_clean : end] = 0
            self._num_clean = end

    def _copy(
        self, sources: Int[np.ndarray, " rows"], targets: Int[np.ndarray, " rows"], length: int
    ) -> None:
        """The first `length` tokens of some rows to others."""
        source, target = (torch.as_tensor(rows, device=self.keys.device) for rows in (sources, targets))
        for block in (self.keys, self.values):
            block[:, target, :length] = block[:, source, :length]

    def _move(self, num_rows: int, capacity: int) -> None:
        """To blocks of another size; the old ones are free."""
        self.keys, self.values = (self._moved(old, num_rows, capacity) for old in (self.keys, self.values))

    def _moved(self, old: Tensor, num_rows: int, capacity: int) -> Tensor:
        layers, _, _, heads, dim = old.shape
        new = self._memory.take(old, (layers, num_rows, capacity, heads, dim))
        kept = slice(None), slice(self._num_rows), slice(self._num_clean)
        new[kept] = old[kept]
        self._memory.give_back(old)
        return new

    def _give_back(self) -> None:
        for block in (self.keys, self.values):
            self._memory.give_back(block)


class _Gaps:
    """A table with unused entries: how to fill it from a row of tokens, and to get the row back."""

    def __init__(self, used: Bool[np.ndarray, " entries"], device: torch.device) -> None:
        self.token_at = torch.as_tensor(np.where(used, np.cumsum(used) - 1, 0), device=device)
        self.used = torch.as_tensor(np.flatnonzero(used), device=device)


class PaddedMemory:
    """Blocks that are given back and taken again: fresh pages cost more than what is written into them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes that may be lent at a time."""
        self.num_lent = 0
        """Bytes."""
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        self._lent: dict[int, Tensor] = {}

    @property
    def is_tight(self) -> bool:
        """Whether more than half of it is lent."""
        return self.num_lent > self.limit // 2

    def num_fitting(self, stem: TrunkStem, num_tokens: int) -> int:
        """How many more rows of so many tokens there is room for."""
        return max(self.limit - self.num_lent, 0) // (num_tokens * bytes_per_token(stem))

    def new_cache(self, stem: TrunkStem, num_rows: int, num_tokens: int) -> "PaddedCache":
        """A cache for rows that will probably have so many tokens."""
        return PaddedCache(stem, num_rows, num_tokens, self)

    def take(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A block of that shape, of the type and on the device of `like`; it may hold anything."""
        size = _rounded(math.prod(shape))
        free = self._free.setdefault((size, like.dtype), [])
        block = free.pop() if free else self._fresh(like, size)
        self._lent[block.data_ptr()] = block
        self.num_lent += block.nbytes
        return block[: math.prod(shape)].view(shape)

    def give_back(self, block: Tensor) -> None:
        """For the next one."""
        whole = self._lent.pop(block.data_ptr())
        self.num_lent -= whole.nbytes
        self._free[whole.numel(), whole.dtype].append(whole)

    trunks = SharedTrunks

    def clear(self) -> None:
        """Leave what is not lent to the system."""
        self._free = {key: [] for key in self._free}
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fresh(self, like: Tensor, size: int) -> Tensor:
        num_free = sum(block.nbytes for blocks in self._free.values() for block in blocks)
        if self.num_lent + num_free + size * like.itemsize > self.limit:
            self.clear()
        return like.new_empty(size)


def _rounded(size: int) -> int:
    """The next of few sizes, at most a quarter larger, so that blocks fit again."""
    step = 1 << max(size.bit_length() - 3, 0)
    return max(-(-size // step) * step, 1)
