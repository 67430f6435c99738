"""Keys and values in pages (PagedAttention, Kwon et al., 2023): a row takes one more when its last is full,
so that nothing is padded and nothing moves. Needs a kernel that reads pages.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.cache import Places, Removal, Trunks, bytes_per_token
from cruxtune.engines.trunk.compiling import Kernels
from cruxtune.engines.trunk.rows import RowKernel, RowPlaces
from cruxtune.engines.trunk.shared import SharedTrunks
from cruxtune.engines.trunk.stem import TrunkStem
from cruxtune.engines.trunk.trunks import WIDEST, TiledTrunks

PAGE = 16
"""Tokens in a page."""


class Pages:
    """All pages of a run: addresses only, until something is written. What came back last is lent first."""

    def __init__(self, stem: TrunkStem, count: int) -> None:
        self.keys, self.values = (
            like.new_empty(len(stem.keys), count, PAGE, like.shape[1], like.shape[3])
            for like in (stem.keys[0], stem.values[0])
        )
        self._free = list(range(count - 1, -1, -1))
        self.num_promised = 0
        """Pages that rows will probably ask for."""

    keys: Float[Tensor, "layers pages page kv_heads dim"]
    values: Float[Tensor, "layers pages page kv_heads value_dim"]

    @property
    def num_unpromised(self) -> int:
        return len(self._free) - self.num_promised

    def take(self, count: int) -> list[int]:
        """Numbers of free pages."""
        if count > len(self._free):
            raise torch.OutOfMemoryError("out of memory: more pages are wanted than there are")
        taken = self._free[-count:]
        del self._free[-count:]
        return taken

    def give_back(self, pages: list[int]) -> None:
        self._free += pages


class PagedMemory:
    """The pages of a run, made for the first solution."""

    def __init__(self, kernels: Kernels, limit: int, most_pages: int) -> None:
        self._kernels = kernels
        self._limit = limit
        """Bytes."""
        self._most_pages = most_pages
        """That rows together could ever have."""
        self._pages: Pages | None = None

    def num_fitting(self, stem: TrunkStem, num_tokens: int) -> int:
        """How many more rows of so many tokens there is room for."""
        return max(self._pages_for(stem).num_unpromised // num_pages(num_tokens), 0)

    def new_cache(self, stem: TrunkStem, num_rows: int, num_tokens: int) -> "PagedCache":
        """A cache for rows that will probably have so many tokens."""
        return PagedCache(self._kernels.rows, self._pages_for(stem), num_rows, num_pages(num_tokens))

    def trunks(self, stems: np.ndarray, prefix: Int[np.ndarray, " tokens"]) -> Trunks:
        """What tokens see of their trunks: by the kernel, unless their heads are too wide for it."""
        like: TrunkStem = stems[0]
        if max(like.keys[0].shape[3], like.values[0].shape[3]) > WIDEST:
            return SharedTrunks(stems, prefix)
        return TiledTrunks(self._kernels.trunks, stems, prefix)

    def clear(self) -> None:
        """Leave all pages to the system: no row is under way."""
        self._pages = None

    def _pages_for(self, stem: TrunkStem) -> Pages:
        if self._pages is None:
            fitting = self._limit // (bytes_per_token(stem) * PAGE)
            self._pages = Pages(stem, max(min(fitting, self._most_pages), 1))
        return self._pages


class PagedCache:
    """Which pages each row of a cohort has."""

    pads = False

    def __init__(self, kernel: RowKernel, pages: Pages, num_rows: int, pages_per_row: int) -> None:
        self._kernel = kernel
        self._pages = pages
        self._table: Int[np.ndarray, "rows width"] = np.zeros((num_rows, pages_per_row), dtype=np.int64)
        self._num_pages: Int[np.ndarray, " rows"] = np.zeros(num_rows, dtype=np.int64)
        self._num_promised: Int[np.ndarray, " rows"] = np.full(num_rows, pages_per_row)
        pages.num_promised += num_rows * pages_per_row

    def prepare(self, places: Places) -> None:
        """Pages for the tokens of a pass."""
        needed = places.last // PAGE + 1
        while len(short := np.flatnonzero(self._num_pages < needed)):
            self._add_page(short)
        self._places = RowPlaces(places.row_of_token, places.column_of_token, self._table)

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens value_dim"],
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads value_dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to what each row wrote itself, and the log of its normaliser."""
        keys, values = self._pages.keys[layer], self._pages.values[layer]
        return self._kernel.attend(query, key, value, keys, values, self._places, scale)

    def drop(self, removal: Removal, longest: int) -> None:
        """Let rows go, and their pages."""
        for row in np.flatnonzero(removal.has_ended):
            self._pages.give_back(self._table[row, : self._num_pages[row]].tolist())
        self._pages.num_promised -= int(self._num_promised[removal.has_ended].sum())
        for name in ("_table", "_num_pages", "_num_promised"):
            setattr(self, name, removal.of(getattr(self, name)))

    def absorb(self, other: "PagedCache") -> None:
        """Take over all rows of another cache, behind those here."""
        width = max(self._table.shape[1], other._table.shape[1])
        self._table = np.concatenate([_widened(self._table, width), _widened(other._table, width)])
        for name in ("_num_pages", "_num_promised"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))

    def _add_page(self, rows: Int[np.ndarray, " short"]) -> None:
        """One more for each of some rows."""
        pages = self._pages.take(len(rows))
        column = self._num_pages[rows]
        if column.max() >= self._table.shape[1]:
            self._table = _widened(self._table, int(column.max()) * 3 // 2 + 1)
        self._table[rows, column] = pages
        self._num_pages[rows] += 1
        promised = rows[self._num_promised[rows] > 0]
        self._num_promised[promised] -= 1
        self._pages.num_promised -= len(promised)


def num_pages(num_tokens: int) -> int:
    return -(-num_tokens // PAGE)


def _widened(table: Int[np.ndarray, "rows width"], width: int) -> Int[np.ndarray, "rows wider"]:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])))
