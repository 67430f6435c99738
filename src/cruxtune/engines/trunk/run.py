"""Branches under way: they enter as there is room, advance together, and leave as they end."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cruxtune.engines.engine import Continued, Decoding, Fork, TakeFork
from cruxtune.engines.trunk.cache import Memory
from cruxtune.engines.trunk.capacity import PassSize, TooLittleMemory, is_out_of_memory
from cruxtune.engines.trunk.cohort import Cohort, expected_length, stem_of
from cruxtune.engines.trunk.endings import Endings
from cruxtune.engines.trunk.step import Block, BranchPass, longest_draft
from cruxtune.records import TokenIds

CALL = 1500
"""What a further attention call costs, in keys that a row could attend to in the same time."""


@runtime_checkable
class Model(Protocol):
    """What a run needs of its engine."""

    max_tokens: int
    max_draft: int
    context_length: int

    def forward(self, step: BranchPass) -> Int[Tensor, " tokens"]:
        """The most probable next token after each token of a pass."""
        ...

    def complete(self, fork: Fork, ids: TokenIds, decoding: Decoding) -> Continued: ...


class Run:
    """One call of `continue_forks`."""

    def __init__(
        self,
        model: Model,
        take: TakeFork,
        decoding: Decoding,
        endings: Endings,
        new_memory: Callable[[int], Memory],
    ) -> None:
        self._model = model
        self._take = take
        self._decoding = decoding
        self._endings = endings
        self._new_memory = new_memory
        self._size = PassSize(model.max_tokens)
        self._memory = new_memory(self._size.now)
        self._cohorts: list[Cohort] = []
        self._waiting: deque[Fork] = deque()
        """Forks that were taken and have to start, or start again."""

    def steps(self) -> Iterator[list[Continued]]:
        """What has ended, pass by pass."""
        while True:
            done = self._admit()
            if self._cohorts:
                done += self._advance()
            elif not done and not self._waiting:
                return
            if done:
                yield done

    def _admit(self) -> list[Continued]:
        """Start as many branches as there is room for, unless it is too little to be worth a cohort."""
        room = self._size.now - sum(map(len, self._cohorts))
        if self._cohorts and room < self._size.now // 8:
            return []
        done, due = self._next_forks(room)
        if due:
            self._start(due)
        return done

    def _next_forks(self, room: int) -> tuple[list[Continued], list[Fork]]:
        """Up to `room` forks; those that end with their own first token are done."""
        done: list[Continued] = []
        due: list[Fork] = []
        while len(due) < room and (fork := self._next_fork(bool(due or done))):
            first = np.array([[fork.branch.token_id]])
            if self._endings.at_stop_token(first)[0] or self._room(fork) <= 0:
                done.append(self._model.complete(fork, [fork.branch.token_id], self._decoding))
            else:
                due.append(fork)
        return done, due

    def _next_fork(self, has_more: bool) -> Fork | None:
        """None too where memory is too small to open another solution, until branches have ended."""
        if self._waiting:
            return self._waiting.popleft()
        try:
            return self._take()
        except TooLittleMemory:
            if not has_more and not self._cohorts:
                raise
            return None

    def _room(self, fork: Fork) -> int:
        return fork.room(self._decoding, self._model.context_length)

    @torch.inference_mode()
    def _start(self, forks: Sequence[Fork]) -> None:
        """A cohort of as many of the forks as memory holds; the others wait."""
        self._waiting.extendleft(reversed(forks))
        try:
            fitting = self._memory.num_fitting(stem_of(forks[0]), max(map(expected_length, forks)))
            forks = forks[: max(fitting, 0 if self._cohorts else 1)]
            rooms = [self._room(fork) for fork in forks]
            if forks:
                self._cohorts.append(Cohort(forks, rooms, self._model.max_draft, self._memory))
        except (RuntimeError, MemoryError) as error:
            self._start_smaller(error)
        else:
            for _ in forks:
                self._waiting.popleft()

    @torch.inference_mode()
    def _advance(self) -> list[Continued]:
        """One pass; what has ended is told whatever happens afterwards."""
        done: list[Continued] = []
        try:
            for cohort, before in zip(self._cohorts, self._forward(), strict=True):
                has_ended = self._has_ended(cohort, before)
                done += self._completed(cohort, has_ended)
                cohort.drop(has_ended)
            self._cohorts = merged([cohort for cohort in self._cohorts if len(cohort)])
            self._size.grow()
        except (RuntimeError, MemoryError) as error:
            self._start_smaller(error)
        return done

    def _forward(self) -> list[np.ndarray]:
        """One pass over all rows; returns the lengths that they had before."""
        num_free = self._size.now - sum(map(len, self._cohorts))
        draft = longest_draft(self._cohorts, num_free, self._model.max_draft)
        step = BranchPass([Block(cohort, draft) for cohort in self._cohorts], self._memory)
        best = self._model.forward(step)
        before = [cohort.length for cohort in self._cohorts]
        step.accept(best.cpu().numpy())
        return before

    def _has_ended(self, cohort: Cohort, before: np.ndarray) -> Bool[np.ndarray, " rows"]:
        """Which rows of a cohort, that had these lengths before the pass."""
        columns = before[:, None] + 1 + np.arange(int((cohort.length - before).max()))
        new = np.take_along_axis(cohort.tokens, np.minimum(columns, cohort.length[:, None]), axis=1)
        has_ended = self._endings.at_stop_token(new) | (cohort.length >= cohort.room)
        for row in np.flatnonzero(self._endings.suspects(new, before, cohort.length) & ~has_ended).tolist():
            has_ended[row] = self._endings.has_come(cohort.forks[row], cohort.written(row), new.shape[1])
        return has_ended

    def _completed(self, cohort: Cohort, has_ended: Bool[np.ndarray, " rows"]) -> list[Continued]:
        return [
            self._model.complete(cohort.forks[row], cohort.written(row), self._decoding)
            for row in np.flatnonzero(has_ended).tolist()
        ]

    def _start_smaller(self, error: RuntimeError | MemoryError) -> None:
        """After memory ran out: the branches under way start again, half as many at a time."""
        if not is_out_of_memory(error):
            raise error
        self._waiting.extendleft(fork for cohort in reversed(self._cohorts) for fork in cohort.forks[::-1])
        self._size.shrink(sum(map(len, self._cohorts)))
        self._cohorts = []
        self._memory.clear()
        self._memory = self._new_memory(self._size.now)


def merged(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """Fewer cohorts, where padding rows to a common length costs less than a call."""
    kept: list[Cohort] = []
    for cohort in sorted(cohorts, key=lambda cohort: -cohort.length.max()):
        if kept and _num_padded(kept[-1], cohort) < CALL:
            kept[-1].absorb(cohort)
        else:
            kept.append(cohort)
    return kept


def _num_padded(longer: Cohort, shorter: Cohort) -> int:
    """Keys that are masked in a call for both."""
    if not longer.cache.pads:
        return 0
    return len(shorter) * int(longer.length.max() - shorter.length.max())
