"""Branches of like length: what each has written, and its keys and values.

All bookkeeping is by arrays with one entry a row: there may be a thousand rows and a pass takes milliseconds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from cruxtune.engines.engine import Fork
from cruxtune.engines.trunk.cache import Cache, Memory, Removal
from cruxtune.engines.trunk.drafts import NOWHERE
from cruxtune.engines.trunk.stem import TrunkStem
from cruxtune.records import TokenIds

START_DRAFT = 2
SLACK = 16
"""Tokens that a branch may grow longer than its solution before its cache has to grow."""
_ROW_ARRAYS = (
    "forks",
    "stems",
    "room",
    "prefix",
    "length",
    "tokens",
    "text",
    "text_length",
    "place",
    "draft_length",
)


class Cohort:
    """Rows that share one attention call. A row's first `length` tokens have keys; the next pass forwards the
    one after.
    """

    def __init__(self, forks: Sequence[Fork], room: Sequence[int], max_draft: int, memory: Memory) -> None:
        stems = [fork.stem for fork in forks]
        position = np.array([fork.branch.position for fork in forks])
        capacity = max(map(expected_length, forks))
        self.forks = _objects(forks)
        self.stems = _objects(stems)
        self.room = np.asarray(room)
        """Tokens that a row may write after its own first one."""
        self.prefix = np.array([len(stem.prompt_ids) for stem in stems]) + position
        """Tokens of the trunk that a row sees."""
        self.length = np.zeros(len(forks), dtype=np.int64)
        self.tokens = np.zeros((len(forks), capacity), dtype=np.int64)
        self.tokens[:, 0] = [fork.branch.token_id for fork in forks]
        self.text = _padded([stem.completion_ids for stem in stems])
        """The solution that a row left: what its drafts are taken from."""
        self.text_length = np.array([len(stem.completion_ids) for stem in stems])
        self.place = position + 1
        """Where in the solution a row's draft begins; a branch starts as if one token had been swapped."""
        self.draft_length = np.full(len(forks), min(START_DRAFT, max_draft))
        self._max_draft = max_draft
        self.cache: Cache = memory.new_cache(stem_of(forks[0]), len(forks), capacity)

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
        needed = int(self.length.max()) + table.shape[1] + 1
        if needed > self.tokens.shape[1]:
            self._widen("tokens", needed * 3 // 2)
        row, offset = np.nonzero(width <= accepted[:, None])
        self.tokens[row, self.length[row] + 1 + offset] = predicted[row, offset]
        self.length = self.length + accepted + 1
        if self._max_draft:
            self._follow(accepted, drafted)

    def _follow(self, accepted: np.ndarray, drafted: np.ndarray) -> None:
        """Where the next draft begins, and how long it is: twice as long after a success, else shorter."""
        rows = np.arange(len(self))
        last = self.tokens[rows, self.length]
        expected = np.where(self.place == NOWHERE, self.text_length, self.place + accepted)
        has_more = expected < self.text_length
        follows = has_more & (last == self.text[rows, np.where(has_more, expected, 0)])
        nearby = np.where(self.place == NOWHERE, 0, expected)
        place = np.where(follows, expected + 1, NOWHERE)
        self._look_up(np.flatnonzero(~follows), last, nearby, place)
        self.place = np.where(place < self.text_length, place, NOWHERE)
        longer = np.where(
            (accepted == drafted) & follows, np.maximum(drafted, 1) * 2, np.maximum(accepted, 1)
        )
        self.draft_length = np.minimum(longer, self._max_draft)

    def _look_up(self, rows: np.ndarray, last: np.ndarray, nearby: np.ndarray, place: np.ndarray) -> None:
        """Find the place of some rows by their last two tokens."""
        before = self.tokens[rows, self.length[rows] - 1]
        for stem in set(self.stems[rows]):
            own = self.stems[rows] == stem
            place[rows[own]] = stem.drafts.follow(before[own], last[rows[own]], nearby[rows[own]])

    def drop(self, has_ended: Bool[np.ndarray, " rows"]) -> None:
        """Let rows go."""
        if not has_ended.any():
            return
        removal = Removal(has_ended)
        for name in _ROW_ARRAYS:
            setattr(self, name, removal.of(getattr(self, name)))
        self.cache.drop(removal, int(self.length.max(initial=0)))

    def absorb(self, other: "Cohort") -> None:
        """Take over all rows of another cohort, which has none then."""
        self.cache.absorb(other.cache)
        for name in ("tokens", "text"):
            self._widen(name, getattr(other, name).shape[1])
            other._widen(name, getattr(self, name).shape[1])
        for name in _ROW_ARRAYS:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))
            setattr(other, name, getattr(other, name)[:0])

    def _widen(self, name: str, width: int) -> None:
        """At least so many columns in one of the tables."""
        table = getattr(self, name)
        if width > table.shape[1]:
            wider = np.zeros((len(table), width), dtype=table.dtype)
            wider[:, : table.shape[1]] = table
            setattr(self, name, wider)


def stem_of(fork: Fork) -> TrunkStem:
    """The fork's stem, which this engine opened."""
    assert isinstance(fork.stem, TrunkStem)
    return fork.stem


def expected_length(fork: Fork) -> int:
    """How many tokens a branch will write, if its solution is as long as the original."""
    return len(fork.stem.completion_ids) - fork.branch.position + SLACK


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _padded(rows: Sequence[TokenIds]) -> Int[np.ndarray, "rows width"]:
    table = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, ids in enumerate(rows):
        table[index, : len(ids)] = ids
    return table
