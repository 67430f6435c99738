"""Branches that started together: what each has written, and its keys and values.

All bookkeeping is by arrays with one entry a row: there may be a thousand rows and a pass takes milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cruxtune.engines.engine import Fork
from cruxtune.engines.trunk.attention import attend, join
from cruxtune.engines.trunk.drafts import NOWHERE
from cruxtune.engines.trunk.stem import TrunkStem

FIRST_CAPACITY = 32
START_DRAFT = 2


class Cohort:
    """Rows of one stem. A row's `length` tokens have keys; its last token is forwarded by the next pass."""

    def __init__(self, forks: Sequence[Fork], room: Sequence[int], max_draft: int) -> None:
        stem = forks[0].stem
        assert isinstance(stem, TrunkStem)
        self.stem = stem
        self.forks = np.array(forks, dtype=object)
        self.room = np.asarray(room)
        """Tokens that a row may write after its own first one."""
        self.prefix = np.array([len(stem.prompt_ids) + fork.branch.position for fork in forks])
        self.length = np.zeros(len(forks), dtype=np.int64)
        self.tokens = np.zeros((len(forks), FIRST_CAPACITY + 1), dtype=np.int64)
        self.tokens[:, 0] = [fork.branch.token_id for fork in forks]
        self.place = np.array([fork.branch.position + 1 for fork in forks])
        """Where in the solution a row's draft begins; a branch starts as if one token had been swapped."""
        self.draft_length = np.full(len(forks), min(START_DRAFT, max_draft))
        self._max_draft = max_draft
        self.is_live = np.ones(len(forks), dtype=bool)
        self._cache = _Cache(stem, len(forks))
        self._trunk_mask = self._make_trunk_mask()

    @property
    def num_live(self) -> int:
        return int(self.is_live.sum())

    @property
    def num_rows(self) -> int:
        return len(self.forks)

    def draft(self, is_drafting: bool) -> "Block":
        """The tokens that the next pass forwards: each live row's last one, and its draft."""
        rows = np.flatnonzero(self.is_live)
        place, ids = self.place[rows], self.stem.drafts.ids
        left = np.minimum(len(ids) - place, self.room[rows] - self.length[rows] - 1)
        wanted = np.where(place == NOWHERE, 0, np.minimum(self.draft_length[rows], left))
        drafted = np.maximum(wanted, 0) if is_drafting else np.zeros_like(wanted)
        width = int(drafted.max(initial=0)) + 1
        offsets = np.arange(width)
        table = np.empty((len(rows), width), dtype=np.int64)
        table[:, 0] = self.tokens[rows, self.length[rows]]
        table[:, 1:] = ids[np.minimum(place[:, None] + offsets[:-1], len(ids) - 1)]
        return Block(self, rows, table, offsets <= drafted[:, None])

    def accept(self, block: "Block", predicted: Int[np.ndarray, "rows width"]) -> None:
        """Take what greedy decoding would have chosen: the draft as far as it agrees, and one token more."""
        rows, width = block.rows, block.table.shape[1]
        agrees = (block.table[:, 1:] == predicted[:, :-1]) & block.is_used[:, 1:]
        accepted = np.cumprod(agrees, axis=1).sum(axis=1)
        self._reserve(int(self.length[rows].max()) + width + 1)
        columns = self.length[rows, None] + 1 + np.arange(width)
        is_new = np.arange(width) <= accepted[:, None]
        at_row = np.broadcast_to(rows[:, None], columns.shape)
        self.tokens[at_row[is_new], columns[is_new]] = predicted[is_new]
        self.length[rows] += accepted + 1
        self._follow(rows, accepted, block.num_drafted)

    def _follow(self, rows: np.ndarray, accepted: np.ndarray, drafted: np.ndarray) -> None:
        """Where the next draft begins, and how long it is: twice as long after a success, shorter otherwise."""
        ids, place = self.stem.drafts.ids, self.place[rows]
        last = self.tokens[rows, self.length[rows]]
        expected = np.where(place == NOWHERE, len(ids), place + accepted)
        follows = (expected < len(ids)) & (last == ids[np.minimum(expected, len(ids) - 1)])
        before = self.tokens[rows, self.length[rows] - 1]
        nearby = np.where(place == NOWHERE, 0, expected)
        found = self.stem.drafts.follow(before, last, nearby)
        self.place[rows] = np.where(follows, expected + 1, found)
        self.place[rows] = np.where(self.place[rows] < len(ids), self.place[rows], NOWHERE)
        is_whole = (accepted == drafted) & follows
        longer = np.minimum(np.maximum(drafted, 1) * 2, self._max_draft)
        self.draft_length[rows] = np.where(
            is_whole, longer, np.minimum(np.maximum(accepted, 1), self._max_draft)
        )

    def end(self, rows: np.ndarray) -> None:
        self.is_live[rows] = False

    def compact(self) -> None:
        """Give back the memory of rows that have ended."""
        kept = np.flatnonzero(self.is_live)
        for name in ("forks", "room", "prefix", "length", "tokens", "place", "draft_length", "is_live"):
            setattr(self, name, getattr(self, name)[kept])
        self._cache.keep(kept, int(self.length.max(initial=0)))
        self._trunk_mask = self._make_trunk_mask()

    def _reserve(self, width: int) -> None:
        if width > self.tokens.shape[1]:
            more = np.zeros((self.num_rows, max(width, 2 * self.tokens.shape[1])), dtype=np.int64)
            more[:, : self.tokens.shape[1]] = self.tokens
            self.tokens = more

    def _make_trunk_mask(self) -> Float[Tensor, "rows trunk"]:
        device = self.stem.keys[0].device
        self._num_trunk = int(self.prefix.max(initial=1))
        prefix = torch.as_tensor(self.prefix, device=device)
        hidden = torch.arange(self._num_trunk, device=device) >= prefix[:, None]
        return torch.zeros(hidden.shape, device=device, dtype=self.stem.keys[0].dtype).masked_fill_(
            hidden, -torch.inf
        )

    def trunk_mask(self, rows: Tensor) -> Float[Tensor, "1 1 tokens trunk"]:
        """Which trunk tokens each token of the given rows sees."""
        return self._trunk_mask[rows][None, None]

    def trunk(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the trunk, as far as any row sees them."""
        return (
            self.stem.keys[layer][:, :, : self._num_trunk],
            self.stem.values[layer][:, :, : self._num_trunk],
        )

    @property
    def cache(self) -> "_Cache":
        return self._cache


class _Cache:
    """Keys and values of what the rows of a cohort have written, growing with it."""

    def __init__(self, stem: TrunkStem, num_rows: int) -> None:
        _, kv_heads, _, dim = stem.keys[0].shape
        shape = (len(stem.keys), num_rows, kv_heads, FIRST_CAPACITY, dim)
        self.keys = stem.keys[0].new_zeros(shape)
        self.values = stem.values[0].new_zeros((*shape[:-1], stem.values[0].shape[-1]))

    def reserve(self, length: int) -> None:
        """Room for `length` tokens a row."""
        if length > self.keys.shape[3]:
            self.keys, self.values = (_stretched(old, length) for old in (self.keys, self.values))

    def keep(self, rows: np.ndarray, length: int) -> None:
        """Only these rows, and of each its first `length` tokens."""
        index = torch.as_tensor(rows, device=self.keys.device)
        width = min(self.keys.shape[3], length + FIRST_CAPACITY)
        self.keys = self.keys[:, index, :, :width].contiguous()
        self.values = self.values[:, index, :, :width].contiguous()


def _stretched(old: Tensor, length: int) -> Tensor:
    layers, rows, heads, capacity, dim = old.shape
    new = old.new_zeros((layers, rows, heads, max(length, capacity * 3 // 2), dim))
    new[:, :, :, :capacity] = old
    return new


@dataclass
class Block:
    """What one cohort puts into a pass: a table of tokens, row by row, of which some places are not used."""

    cohort: Cohort
    rows: Int[np.ndarray, " rows"]
    table: Int[np.ndarray, "rows width"]
    is_used: Bool[np.ndarray, "rows width"]

    @property
    def num_drafted(self) -> Int[np.ndarray, " rows"]:
        return self.is_used.sum(axis=1) - 1

    @property
    def token_ids(self) -> Int[np.ndarray, " tokens"]:
        return self.table[self.is_used]

    @property
    def positions(self) -> Int[np.ndarray, " tokens"]:
        start = self.cohort.prefix[self.rows] + self.cohort.length[self.rows]
        return (start[:, None] + np.arange(self.table.shape[1]))[self.is_used]

    def prepare(self, device: torch.device) -> None:
        """All that the layers' attention needs and that is the same for each of them."""
        cohort, width = self.cohort, self.table.shape[1]
        columns = cohort.length[self.rows][:, None] + np.arange(width)
        self.num_keys = int(columns[self.is_used].max()) + 1
        cohort.cache.reserve(self.num_keys)
        at_row = np.broadcast_to(self.rows[:, None], columns.shape)[self.is_used]
        self._at_row = torch.as_tensor(at_row, device=device)
        self._at_column = torch.as_tensor(columns[self.is_used], device=device)
        self._trunk_mask = cohort.trunk_mask(self._at_row)
        self._is_whole = bool(self.is_used.all())
        place = np.cumsum(self.is_used.reshape(-1)).reshape(self.is_used.shape) - 1
        self._place = torch.as_tensor(np.where(self.is_used, place, 0).reshape(-1), device=device)
        self._used = torch.as_tensor(np.flatnonzero(self.is_used), device=device)
        self._all_rows = len(self.rows) == cohort.num_rows
        self._row_index = torch.as_tensor(self.rows, device=device)
        seen = torch.arange(self.num_keys, device=device) <= torch.as_tensor(columns, device=device)[..., None]
        mask = torch.zeros(seen.shape, device=device, dtype=cohort.stem.keys[0].dtype)
        self._suffix_mask = mask.masked_fill_(~seen, -torch.inf)[:, None]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attention of this block's tokens in one layer, to the trunk and to their own row."""
        keys, values = self.cohort.cache.keys[layer], self.cohort.cache.values[layer]
        keys[self._at_row, :, self._at_column] = key.transpose(0, 1)
        values[self._at_row, :, self._at_column] = value.transpose(0, 1)
        to_trunk, trunk_lse = attend(query[None], *self.cohort.trunk(layer), self._trunk_mask, scale)
        to_self, self_lse = self._attend_to_self(keys, values, query, scale)
        return join(to_trunk[0].transpose(0, 1), trunk_lse[0].transpose(0, 1), to_self, self_lse)

    def _attend_to_self(
        self, keys: Tensor, values: Tensor, query: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        rows, width = self.table.shape
        if not self._all_rows:
            keys, values = keys[self._row_index, :, : self.num_keys], values[self._row_index, :, : self.num_keys]
        else:
            keys, values = keys[:, :, : self.num_keys], values[:, :, : self.num_keys]
        padded = query if self._is_whole else query[:, self._place]
        heads, _, dim = query.shape
        padded = padded.reshape(heads, rows, width, dim).transpose(0, 1)
        out, lse = attend(padded, keys, values, self._suffix_mask, scale)
        out, lse = out.transpose(1, 2).reshape(-1, heads, out.shape[-1]), lse.transpose(1, 2).reshape(-1, heads)
        return (out, lse) if self._is_whole else (out[self._used], lse[self._used])


class BranchPass:
    """The step that forwards the blocks of several cohorts, one after the other in one row of tokens."""

    def __init__(self, blocks: Sequence[Block], device: torch.device) -> None:
        self._blocks = blocks
        self._sizes = [int(block.is_used.sum()) for block in blocks]
        for block in blocks:
            block.prepare(device)
        self.token_ids = torch.as_tensor(np.concatenate([b.token_ids for b in blocks]), device=device)[None]
        self.positions = torch.as_tensor(np.concatenate([b.positions for b in blocks]), device=device)[None]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Each block's own attention."""
        pieces = zip(
            self._blocks, *(part.split(self._sizes, dim=1) for part in (query, key, value)), strict=True
        )
        return torch.cat([block.attend(layer, q, k, v, scale) for block, q, k, v in pieces])

    def predictions(self, best: Int[np.ndarray, " tokens"]) -> list[np.ndarray]:
        """The model's choice after each token, as a table a block."""
        tables = []
        start = 0
        for block, size in zip(self._blocks, self._sizes, strict=True):
            table = np.full(block.table.shape, -1)
            table[block.is_used] = best[start : start + size]
            tables.append(table)
            start += size
        return tables
