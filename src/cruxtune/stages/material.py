"""All that selections can ask of the annotated solutions, read when it is first asked for."""

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from cruxtune.errors import ArtifactError
from cruxtune.models import load_tokenizer
from cruxtune.records import Position, Problem, Rollout, Solution, TokenScores
from cruxtune.select import Evidence, Mask, Scores, gather_evidence, text_of, token_bytes, writes_from
from cruxtune.stages.evidence import num_gaps
from cruxtune.stages.score import Scoring
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_records
from cruxtune.verify import answer_start

logger = logging.getLogger(__name__)

END_OF_THINKING = "</Thinking>"


class Material:
    """Arrays hold all response tokens, solution after solution."""

    def __init__(self, space: Workspace, solutions: Sequence[Solution]) -> None:
        self.solutions = solutions
        self.lengths = [len(solution.completion.token_ids) for solution in solutions]
        self._space = space

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    @property
    def has_stopped(self) -> list[bool]:
        return [s.completion.has_stopped for s in self.solutions]

    @cached_property
    def evidence(self) -> list[Evidence]:
        """With a warning where another verifier left gaps in it."""
        gaps = num_gaps(self._space)
        if gaps:
            logger.warning("%d positions need alternatives that were not run: they are untested", gaps)
        rollouts = read_records(self._space.path("annotate"), Rollout)
        return gather_evidence(self.solutions, rollouts, has_gaps=gaps > 0)

    @cached_property
    def pieces(self) -> list[list[bytes]]:
        """What each token writes."""
        tokenizer = load_tokenizer(self._space.model, self._space.recipe.model.trust_remote_code)
        return [token_bytes(tokenizer, solution.completion.token_ids) for solution in self.solutions]

    @property
    def probabilities(self) -> Scores:
        """Of each token in the base model."""
        return self._views[0]

    @property
    def entropies(self) -> Scores:
        return self._views[1]

    @cached_property
    def key(self) -> Mask:
        """The statement of the final answer and all that follows."""
        kinds = {problem.id: problem.kind for problem in read_records(self._space.path("solve"), Problem)}
        texts = [text_of(pieces) for pieces in self.pieces]
        starts = [key_start(t, kinds[s.problem_id]) for t, s in zip(texts, self.solutions, strict=True)]
        return np.array(
            [is_in for p, start in zip(self.pieces, starts, strict=True) for is_in in writes_from(p, start)]
        )

    def scores(self, scoring: Scoring) -> Scores:
        """What `score` found of each token."""
        directory = scoring.directory(self._space)
        found = {item.solution_id: item.scores for item in read_records(directory, TokenScores)}
        return self._joined(found, directory)

    @cached_property
    def _views(self) -> tuple[Scores, Scores]:
        directory = self._space.path("annotate")
        probabilities: dict[str, list[float]] = {solution.id: [] for solution in self.solutions}
        entropies: dict[str, list[float]] = {solution.id: [] for solution in self.solutions}
        for position in read_records(directory, Position):
            if position.solution_id in probabilities:
                probabilities[position.solution_id].append(position.probability)
                entropies[position.solution_id].append(position.entropy)
        return self._joined(probabilities, directory), self._joined(entropies, directory)

    def _joined(self, values: dict[str, list[float]], directory: Path) -> Scores:
        """One array, in the order of the solutions; raises where a solution has another length."""
        for solution, length in zip(self.solutions, self.lengths, strict=True):
            if len(values.get(solution.id, ())) != length:
                raise ArtifactError(
                    f"{directory} has {len(values.get(solution.id, ()))} numbers on the {length} tokens of "
                    f"solution {solution.id}: delete it and run its stage again"
                )
        return _flat(values[solution.id] for solution in self.solutions)


def _flat(values: Iterable[Sequence[float]]) -> Scores:
    return np.array([number for row in values for number in row], dtype=np.float64)


def key_start(text: str, kind: str) -> int:
    """The place in a text where its key begins; its end where it has none."""
    tag = text.rfind(END_OF_THINKING)
    if tag >= 0:
        return tag + len(END_OF_THINKING)
    start = answer_start(text, "choice" if kind == "choice" else "math")
    return len(text) if start is None else start
