"""Branches that started together: what each has written, and its keys and values.

All bookkeeping is by arrays with one entry a row: there may be a thousand rows and a pass takes milliseconds.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cruxtune.engines.engine import Fork
from cruxtune.engines.trunk.cache import Cache
from cruxtune.engines.trunk.capacity import Memory
from cruxtune.engines.trunk.drafts import NOWHERE
from cruxtune.engines.trunk.stem import TrunkStem
from cruxtune.records import TokenIds

START_DRAFT = 2
SLACK = 16
"""Tokens that a branch may grow longer than its solution before its cache has to grow."""
_ROW_ARRAYS = ("forks", "room", "prefix", "length", "tokens", "place", "draft_length")


def expected_length(stem: TrunkStem, position: int) -> int:
    """How many tokens a branch at a position will write, if its solution is as long as the original."""
    return len(stem.completion_ids) - position + SLACK


class Cohort:
    """Rows of one stem. A row's first `length` tokens have keys; the next pass forwards the one after."""

    def __init__(self, forks: Sequence[Fork], room: Sequence[int], max_draft: int, memory: Memory) -> None:
        stem = forks[0].stem
        assert isinstance(stem, TrunkStem)
        self.stem = stem
        self.forks = np.array(forks, dtype=object)
        self.room = np.asarray(room)
        """Tokens that a row may write after its own first one."""
        position = np.array([fork.branch.position for fork in forks])
        self.prefix = len(stem.prompt_ids) + position
        """Tokens of the trunk that a row sees."""
        self.length = np.zeros(len(forks), dtype=np.int64)
        capacity = expected_length(stem, int(position.min()))
        self.tokens = np.zeros((len(forks), capacity), dtype=np.int64)
        self.tokens[:, 0] = [fork.branch.token_id for fork in forks]
        self.place = position + 1
        """Where in the solution a row's draft begins; a branch starts as if one token had been swapped."""
        self.draft_length = np.full(len(forks), min(START_DRAFT, max_draft))
        self._max_draft = max_draft
        self.cache = Cache(stem, len(forks), capacity, memory)
        self._see_trunk()

    def __len__(self) -> int:
        return len(self.forks)

    def written(self, row: int) -> TokenIds:
        """All that a row has written, its branch's own token first; no more than it may."""
        return self.tokens[row, : min(self.length[row], self.room[row]) + 1].tolist()

    def accept(self, table: np.ndarray, drafted: np.ndarray, predicted: np.ndarray) -> None:
        """Take what greedy decoding would have chosen: a draft as far as it agrees, and one token more.

        `table` holds each row's last token and its draft, `predicted` the model's choice after each of them.
        """
        width = np.arange(table.shape[1])
        agrees = (table[:, 1:] == predicted[:, :-1]) & (width[1:] <= drafted[:, None])
        accepted = np.cumprod(agrees, axis=1).sum(axis=1)
        self._reserve(int(self.length.max()) + table.shape[1] + 1)
        row, offset = np.nonzero(width <= accepted[:, None])
        self.tokens[row, self.length[row] + 1 + offset] = predicted[row, offset]
        self.length = self.length + accepted + 1
        self._follow(accepted, drafted)

    def _follow(self, accepted: np.ndarray, drafted: np.ndarray) -> None:
        """Where the next draft begins, and how long it is: twice as long after a success, else shorter."""
        ids, rows = self.stem.drafts.ids, np.arange(len(self))
        last, before = self.tokens[rows, self.length], self.tokens[rows, self.length - 1]
        expected = np.where(self.place == NOWHERE, len(ids), self.place + accepted)
        follows = (expected < len(ids)) & (last == ids[np.minimum(expected, len(ids) - 1)])
        nearby = np.where(self.place == NOWHERE, 0, expected)
        place = np.where(follows, expected + 1, self.stem.drafts.follow(before, last, nearby))
        self.place = np.where(place < len(ids), place, NOWHERE)
        longer = np.where(
            (accepted == drafted) & follows, np.maximum(drafted, 1) * 2, np.maximum(accepted, 1)
        )
        self.draft_length = np.minimum(longer, self._max_draft)

    def drop(self, has_ended: np.ndarray) -> None:
        """Let rows go; the last rows move into their places."""
        kept = int((~has_ended).sum())
        holes = np.flatnonzero(has_ended[:kept])
        movers = kept + np.flatnonzero(~has_ended[kept:])
        for name in _ROW_ARRAYS:
            array = getattr(self, name)
            array[holes] = array[movers]
            setattr(self, name, array[:kept])
        if len(holes):
            self.cache.move(movers, holes, int(self.length[holes].max()))
        if kept:
            self.cache.shrink(kept)
            self._see_trunk()
        else:
            self.cache.give_back()

    def trunk(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the trunk, as far as any row sees them."""
        keys, values = self.stem.keys[layer], self.stem.values[layer]
        return keys[:, :, : self._num_trunk], values[:, :, : self._num_trunk]

    def _see_trunk(self) -> None:
        self._num_trunk = int(self.prefix.max())
        like = self.stem.keys[0]
        prefix = torch.as_tensor(self.prefix, device=like.device)
        hidden = torch.arange(self._num_trunk, device=like.device) >= prefix[:, None]
        self.trunk_mask: Float[Tensor, "rows trunk"] = like.new_zeros(hidden.shape).masked_fill_(
            hidden, -torch.inf
        )

    def _reserve(self, width: int) -> None:
        if width > self.tokens.shape[1]:
            more = np.zeros((len(self), width * 3 // 2), dtype=np.int64)
            more[:, : self.tokens.shape[1]] = self.tokens
            self.tokens = more
