"""One forward pass over the next tokens of many branches, packed into one row."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cruxtune.engines.trunk.attention import attend, hide, join
from cruxtune.engines.trunk.cohort import Cohort
from cruxtune.engines.trunk.drafts import NOWHERE
from cruxtune.engines.trunk.shared import SharedTrunks


def wanted_drafts(cohort: Cohort) -> Int[np.ndarray, " rows"]:
    """How many tokens each row would have verified at once."""
    left = np.minimum(cohort.text_length - cohort.place, cohort.room - cohort.length - 1)
    return np.where(cohort.place == NOWHERE, 0, np.clip(cohort.draft_length, 0, np.maximum(left, 0)))


def longest_draft(cohorts: Sequence[Cohort], num_free: int, most: int) -> int:
    """The longest draft, up to `most`, for which all drafts together stay within `num_free` tokens.

    Where rows fill the pass already, drafts would only make it longer.
    """
    wanted = np.concatenate([wanted_drafts(cohort) for cohort in cohorts])
    return next((n for n in range(most, 0, -1) if np.minimum(wanted, n).sum() <= num_free), 0)


class Block:
    """What one cohort puts into a pass: each row's last token and its draft, as a table with gaps."""

    def __init__(self, cohort: Cohort, max_draft: int) -> None:
        self.cohort = cohort
        self.drafted: Int[np.ndarray, " rows"] = np.minimum(wanted_drafts(cohort), max_draft)
        offsets = np.arange(int(self.drafted.max()) + 1)
        rows = np.arange(len(cohort))[:, None]
        self.table: Int[np.ndarray, "rows width"] = np.empty((len(cohort), len(offsets)), dtype=np.int64)
        self.table[:, 0] = cohort.tokens[rows[:, 0], cohort.length]
        places = np.minimum(cohort.place[:, None] + offsets[:-1], cohort.text_length[:, None] - 1)
        self.table[:, 1:] = cohort.text[rows, places]
        self.is_used = offsets <= self.drafted[:, None]
        self._columns = cohort.length[:, None] + offsets
        self.num_tokens = int(self.is_used.sum())

    @property
    def token_ids(self) -> Int[np.ndarray, " tokens"]:
        return self.table[self.is_used]

    @property
    def positions(self) -> Int[np.ndarray, " tokens"]:
        return (self.cohort.prefix[:, None] + self._columns)[self.is_used]

    @property
    def rows(self) -> Int[np.ndarray, " tokens"]:
        return np.nonzero(self.is_used)[0]

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """All that is the same for the attention of every layer."""
        columns = self._columns[self.is_used]
        self._num_keys = int(columns.max()) + 1
        self.cohort.cache.reserve(len(self.cohort), self._num_keys)
        self._row = torch.as_tensor(self.rows, device=device)
        self._column = torch.as_tensor(columns, device=device)
        self._has_gaps = not self.is_used.all()
        if self._has_gaps:
            used = self.is_used.reshape(-1)
            self._token_at = torch.as_tensor(np.where(used, np.cumsum(used) - 1, 0), device=device)
            self._used = torch.as_tensor(np.flatnonzero(used), device=device)
        last_seen = torch.as_tensor(self._columns, device=device)[..., None]
        hidden = torch.arange(self._num_keys, device=device) > last_seen
        self._mask = hide(hidden, dtype)[:, None]

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "heads tokens dim"],
        key: Float[Tensor, "kv_heads tokens dim"],
        value: Float[Tensor, "kv_heads tokens dim"],
        scale: float,
    ) -> tuple[Float[Tensor, "tokens heads dim"], Float[Tensor, "tokens heads"]]:
        """Attention of one layer to what each row wrote itself, and the log of its normaliser."""
        self.cohort.cache.write(layer, self._row, self._column, key, value)
        rows, width = self.table.shape
        keys, values = (
            cache[layer, :rows, : self._num_keys].transpose(1, 2)
            for cache in (self.cohort.cache.keys, self.cohort.cache.values)
        )
        heads, _, dim = query.shape
        filled = query[:, self._token_at] if self._has_gaps else query
        by_row = filled.reshape(heads, rows, width, dim).transpose(0, 1)
        out, lse = attend(by_row, keys, values, self._mask, scale)
        out = out.transpose(1, 2).reshape(rows * width, heads, -1)
        lse = lse.transpose(1, 2).reshape(rows * width, heads)
        return (out[self._used], lse[self._used]) if self._has_gaps else (out, lse)


class BranchPass:
    """The step that forwards the blocks of several cohorts, one after the other."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._sizes = [block.num_tokens for block in blocks]

    def inputs(self, device: torch.device) -> tuple[Int[Tensor, "1 tokens"], Int[Tensor, "1 tokens"]]:
        """Token ids and their positions in their texts, with all made ready for them."""
        dtype = self._blocks[0].cohort.cache.keys.dtype
        for block in self._blocks:
            block.prepare(device, dtype)
        stems = np.concatenate([block.cohort.stems[block.rows] for block in self._blocks])
        prefix = np.concatenate([block.cohort.prefix[block.rows] for block in self._blocks])
        self._trunks = SharedTrunks(stems, prefix, device, dtype)
        token_ids = np.concatenate([block.token_ids for block in self._blocks])
        positions = np.concatenate([block.positions for block in self._blocks])
        return (
            torch.as_tensor(token_ids, device=device)[None],
            torch.as_tensor(positions, device=device)[None],
        )

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Attention to the trunks, and to what each branch wrote itself."""
        parts = (tensor.split(self._sizes, dim=1) for tensor in (query, key, value))
        pieces = zip(self._blocks, *parts, strict=True)
        own = [block.attend(layer, q, k, v, scale) for block, q, k, v in pieces]
        to_own, own_lse = (torch.cat(each) for each in zip(*own, strict=True))
        return join(*self._trunks.attend(layer, query, scale), to_own, own_lse)

    def accept(self, best: Int[np.ndarray, " tokens"]) -> None:
        """Give each cohort the model's choice after each of its tokens."""
        ends = np.cumsum(self._sizes)
        for block, chosen in zip(self._blocks, np.split(best, ends[:-1]), strict=True):
            predicted = np.zeros_like(block.table)
            predicted[block.is_used] = chosen
            block.cohort.accept(block.table, block.drafted, predicted)
