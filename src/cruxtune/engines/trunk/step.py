"""One forward pass over the next tokens of many branches, packed into one row."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cruxtune.engines.trunk.attention import join
from cruxtune.engines.trunk.cache import Memory, Places
from cruxtune.engines.trunk.cohort import Cohort
from cruxtune.engines.trunk.drafts import NOWHERE


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
        self.columns: Int[np.ndarray, "rows width"] = cohort.length[:, None] + offsets
        self.num_tokens = int(self.is_used.sum())

    @property
    def token_ids(self) -> Int[np.ndarray, " tokens"]:
        return self.table[self.is_used]

    @property
    def positions(self) -> Int[np.ndarray, " tokens"]:
        return (self.cohort.prefix[:, None] + self.columns)[self.is_used]

    @property
    def rows(self) -> Int[np.ndarray, " tokens"]:
        return np.nonzero(self.is_used)[0]


class BranchPass:
    """The step that forwards the blocks of several cohorts, one after the other."""

    def __init__(self, blocks: Sequence[Block], memory: Memory) -> None:
        self._blocks = blocks
        self._memory = memory
        self._sizes = [block.num_tokens for block in blocks]

    def inputs(self, device: torch.device) -> tuple[Int[Tensor, "1 tokens"], Int[Tensor, "1 tokens"]]:
        """Token ids and their positions in their texts, with all made ready for them."""
        for block in self._blocks:
            block.cohort.cache.prepare(Places(block.columns, block.is_used))
        stems = np.concatenate([block.cohort.stems[block.rows] for block in self._blocks])
        prefix = np.concatenate([block.cohort.prefix[block.rows] for block in self._blocks])
        self._trunks = self._memory.trunks(stems, prefix)
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
        own = [block.cohort.cache.attend(layer, q, k, v, scale) for block, q, k, v in pieces]
        to_own, own_lse = (torch.cat(each) for each in zip(*own, strict=True))
        return join(*self._trunks.attend(layer, query, scale), to_own, own_lse)

    def accept(self, best: Int[np.ndarray, " tokens"]) -> None:
        """Give each cohort the model's choice after each of its tokens."""
        ends = np.cumsum(self._sizes)
        for block, chosen in zip(self._blocks, np.split(best, ends[:-1]), strict=True):
            predicted = np.zeros_like(block.table)
            predicted[block.is_used] = chosen
            block.cohort.accept(block.table, block.drafted, predicted)
