"""All that selections can ask of solutions, read when it is first asked for."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from cruxtune.errors import ArtifactError
from cruxtune.models import load_tokenizer
from cruxtune.recipe.sources import RunSolutions
from cruxtune.records import Position, Rollout, Solution, TokenScores
from cruxtune.select import (
    Coverage,
    Evidence,
    Mask,
    Scores,
    TokenClass,
    gather_evidence,
    text_of,
    token_bytes,
    token_classes,
    writes_from,
)
from cruxtune.stages.evidence import num_gaps
from cruxtune.stages.other_run import OtherRun
from cruxtune.stages.score import GREEDY, Scoring, Statistic
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_records
from cruxtune.verify import answer_start

logger = logging.getLogger(__name__)

END_OF_THINKING = "</Thinking>"


class Material:
    """What is known of some sets of solutions; arrays hold all response tokens, solution after solution."""

    def __init__(self, space: Workspace, parts: Mapping[str, Sequence[Solution]]) -> None:
        self.solutions = [solution for part in parts.values() for solution in part]
        self.lengths = [len(solution.completion.token_ids) for solution in self.solutions]
        self._space = space
        self._parts = parts
        self._transferred: dict[str, tuple[Scores, Coverage | None]] = {}

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    @property
    def has_stopped(self) -> list[bool]:
        return [s.completion.has_stopped for s in self.solutions]

    @cached_property
    def evidence(self) -> list[Evidence]:
        """Of the greedy solutions, or of those of other runs."""
        return [evidence for name in self._parts for evidence in self._evidence(name)]

    @cached_property
    def pieces(self) -> list[list[bytes]]:
        """What each token writes."""
        tokenizer = load_tokenizer(self._space.model, self._space.recipe.model.trust_remote_code)
        return [token_bytes(tokenizer, solution.completion.token_ids) for solution in self.solutions]

    @cached_property
    def classes(self) -> list[TokenClass]:
        """Of all tokens."""
        return [found for pieces in self.pieces for found in token_classes(pieces)]

    @cached_property
    def probabilities(self) -> Scores:
        """Of each token in the base model."""
        return np.concatenate(
            [self._views[0] if n == GREEDY else np.exp(self._scores("logprobs", n)) for n in self._parts]
        )

    @cached_property
    def entropies(self) -> Scores:
        return np.concatenate(
            [self._views[1] if n == GREEDY else self._scores("entropy", n) for n in self._parts]
        )

    @cached_property
    def key(self) -> Mask:
        """The statement of the final answer and all that follows."""
        problems = self._space.problems(self._space.recipe.problems)
        kinds = {problem.id: problem.kind for problem in problems}
        texts = [text_of(pieces) for pieces in self.pieces]
        starts = [key_start(t, kinds[s.problem_id]) for t, s in zip(texts, self.solutions, strict=True)]
        return np.array(
            [is_in for p, start in zip(self.pieces, starts, strict=True) for is_in in writes_from(p, start)]
        )

    @property
    def attention(self) -> Scores:
        return np.concatenate([self._scores("attention", name) for name in self._parts])

    def logprobs(self, model: str, revision: str | None) -> Scores:
        """Of each token in another model."""
        return np.concatenate([self._scores("logprobs", name, model, revision) for name in self._parts])

    def transferred(self, selection: str) -> tuple[Scores, Coverage | None]:
        """What a selection of the other run gave to its solutions; how much, where its tokens differ."""
        if selection not in self._transferred:
            (name,) = self._parts
            rows, coverage = self._other(name).weights(selection, self.solutions, name, self.pieces)
            self._transferred[selection] = _flat(rows), coverage
        return self._transferred[selection]

    def _evidence(self, name: str) -> list[Evidence]:
        """With a warning where another verifier left gaps in it."""
        if name != GREEDY:
            return self._other(name).evidence(self._parts[name], name)
        gaps = num_gaps(self._space)
        if gaps:
            logger.warning("%d positions need alternatives that were not run: they are untested", gaps)
        rollouts = read_records(self._space.path("annotate"), Rollout)
        return gather_evidence(self._parts[name], rollouts, has_gaps=gaps > 0)

    def _other(self, name: str) -> OtherRun:
        source = self._space.recipe.solutions[name]
        assert isinstance(source, RunSolutions)
        return OtherRun(source)

    def _scores(
        self, statistic: Statistic, name: str, model: str | None = None, revision: str | None = None
    ) -> Scores:
        """What `score` found of each token."""
        directory = Scoring(statistic, name, model, revision).directory(self._space)
        found = {item.solution_id: item.scores for item in read_records(directory, TokenScores)}
        return self._joined(name, found, directory)

    @cached_property
    def _views(self) -> tuple[Scores, Scores]:
        """Probabilities and entropies of the greedy solutions, as `annotate` stored them."""
        directory = self._space.path("annotate")
        probabilities: dict[str, list[float]] = {s.id: [] for s in self._parts[GREEDY]}
        entropies: dict[str, list[float]] = {s.id: [] for s in self._parts[GREEDY]}
        for position in read_records(directory, Position):
            if position.solution_id in probabilities:
                probabilities[position.solution_id].append(position.probability)
                entropies[position.solution_id].append(position.entropy)
        return self._joined(GREEDY, probabilities, directory), self._joined(GREEDY, entropies, directory)

    def _joined(self, name: str, values: dict[str, list[float]], directory: Path) -> Scores:
        """One array, in the order of the solutions; raises where a solution has another length."""
        for solution in self._parts[name]:
            found, length = len(values.get(solution.id, ())), len(solution.completion.token_ids)
            if found != length:
                raise ArtifactError(
                    f"{directory} has {found} numbers on the {length} tokens of solution {solution.id}: "
                    "delete it and run its stage again"
                )
        return _flat(values[solution.id] for solution in self._parts[name])


def _flat(values: Iterable[Sequence[float]]) -> Scores:
    return np.array([number for row in values for number in row], dtype=np.float64)


def key_start(text: str, kind: str) -> int:
    """The place in a text where its key begins; its end where it has none."""
    tag = text.rfind(END_OF_THINKING)
    if tag >= 0:
        return tag + len(END_OF_THINKING)
    start = answer_start(text, "choice" if kind == "choice" else "math")
    return len(text) if start is None else start
