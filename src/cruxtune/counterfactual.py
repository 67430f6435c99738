"""The counterfactual test of one solution: replace each token, continue greedily, verify (eq. 5-7)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cruxtune.engines import Decoding, Engine, Inspection
from cruxtune.engines.texts import token_texts
from cruxtune.records import Branch, Completion, Position, Problem, Rollout, Solution, TokenIds, Verdict
from cruxtune.verify import Verifier


@dataclass(frozen=True, slots=True)
class Annotation:
    """All evidence on one solution."""

    positions: list[Position]
    rollouts: list[Rollout]


class Annotator:
    """Tries the alternatives of rank 2 to k at every position of a solution.

    A lazy one tries rank j+1 only where no lower rank kept the answer: the labels of a Strict rule are the
    same, for fewer rollouts.
    """

    def __init__(
        self,
        engine: Engine,
        verifier: Verifier,
        decoding: Decoding,
        k: int = 3,
        is_lazy: bool = True,
        skip_special: bool = False,
    ) -> None:
        self._engine = engine
        self._verifier = verifier
        self._decoding = decoding
        self._k = k
        self._is_lazy = is_lazy
        self._left_out = frozenset(engine.tokenizer.all_special_ids) if skip_special else frozenset()

    def annotate(self, problem: Problem, solution: Solution) -> Annotation:
        """The evidence on every position of one solution."""
        ids = solution.completion.token_ids
        inspection = self._engine.inspect(solution.prompt_ids, ids, self._k + len(self._left_out))
        branches = alternatives(inspection, ids, self._k, self._left_out)
        rollouts = (
            self._try_lazily(problem, solution, branches)
            if self._is_lazy
            else self._try(problem, solution, branches)
        )
        return Annotation(self._positions(solution, inspection), rollouts)

    def _try_lazily(self, problem: Problem, solution: Solution, branches: Sequence[Branch]) -> list[Rollout]:
        rollouts: list[Rollout] = []
        for rank in range(2, self._k + 1):
            kept = {r.branch.position for r in rollouts if r.grade.verdict is Verdict.CORRECT}
            due = [b for b in branches if b.rank == rank and b.position not in kept]
            rollouts += self._try(problem, solution, due)
        return sorted(rollouts, key=_place)

    def _try(self, problem: Problem, solution: Solution, branches: Sequence[Branch]) -> list[Rollout]:
        ids = solution.completion.token_ids
        finished = list(self._engine.continue_from(solution.prompt_ids, ids, branches, self._decoding))
        texts = [
            (problem, self._text(ids, branch, continuation), continuation.finish_reason)
            for branch, continuation in finished
        ]
        grades = self._verifier.verify_many(texts)
        rollouts = [
            Rollout(solution.id, branch, self._token_text(branch), continuation, grade)
            for (branch, continuation), grade in zip(finished, grades, strict=True)
        ]
        return sorted(rollouts, key=_place)

    def _token_text(self, branch: Branch) -> str:
        return self._engine.tokenizer.decode([branch.token_id], skip_special_tokens=False)

    def _text(self, ids: TokenIds, branch: Branch, continuation: Completion) -> str:
        whole = [*ids[: branch.position], *continuation.token_ids]
        return self._engine.tokenizer.decode(whole, skip_special_tokens=True)

    def _positions(self, solution: Solution, inspection: Inspection) -> list[Position]:
        ids = solution.completion.token_ids
        texts = token_texts(self._engine.tokenizer, ids)
        return [
            Position(
                solution.id,
                position,
                ids[position],
                texts[position],
                float(inspection.token_probs[position]),
                float(inspection.entropies[position]),
                float(inspection.margins[position]),
            )
            for position in range(len(ids))
        ]


def alternatives(
    inspection: Inspection, ids: TokenIds, k: int, left_out: frozenset[int] = frozenset()
) -> list[Branch]:
    """The k-1 most probable tokens other than the solution's own, at every position.

    In a greedy solution the own token is the most probable one, so that these are the 2nd to k-th.
    """
    return [
        Branch(position, rank, int(token_id), float(probability))
        for position, own in enumerate(ids)
        for rank, (token_id, probability) in enumerate(
            _others(inspection, position, own, left_out)[: k - 1], 2
        )
    ]


def _others(
    inspection: Inspection, position: int, own: int, left_out: frozenset[int]
) -> list[tuple[np.integer, np.floating]]:
    top = zip(inspection.top_ids[position], inspection.top_probs[position], strict=True)
    return [(token_id, p) for token_id, p in top if token_id != own and token_id not in left_out]


def _place(rollout: Rollout) -> tuple[int, int]:
    return rollout.branch.position, rollout.branch.rank
