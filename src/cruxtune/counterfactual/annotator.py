"""The counterfactual test: replace each token of a solution, continue greedily, verify (eq. 5-7)."""

from collections.abc import Iterable, Iterator, Sequence

from cruxtune.counterfactual.agenda import Agenda, Opened
from cruxtune.counterfactual.alternatives import others_at
from cruxtune.counterfactual.evidence import Evidence, Task
from cruxtune.counterfactual.texts import submission_of
from cruxtune.engines import Continued, Decoding, Engine, Inspection
from cruxtune.engines.texts import token_texts
from cruxtune.records import Position, Rollout, Solution
from cruxtune.verify import Verifier


class Annotator:
    """Tries the alternatives of rank 2 to k at every position of solutions.

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

    def annotate(self, tasks: Iterable[Task]) -> Iterator[Evidence]:
        """The evidence as it comes, of several solutions at a time: the engine takes what it has room for.

        All of it, sorted, is the same for any engine and however often it was interrupted.
        """
        agenda = Agenda(tasks, self._open_if_it_fits, self._k, self._is_lazy)
        for continued in self._engine.continue_forks(agenda.take, self._decoding):
            rollouts = self._grade(agenda, continued)
            agenda.settle([fork.stem for fork, _ in continued], rollouts)
            yield agenda.news(rollouts)
        yield agenda.news([])

    def fits(self, task: Task) -> bool:
        """Whether the engine's context can hold the solution with its prompt."""
        solution = task.solution
        num_tokens = len(solution.prompt_ids) + len(solution.completion.token_ids)
        return num_tokens <= self._engine.context_length

    def open(self, task: Task) -> Opened:
        """The engine's hold on a solution, and its positions: those that were stored, or else new ones."""
        prompt_ids, ids = task.solution.prompt_ids, task.solution.completion.token_ids
        stem = self._engine.open_stem(prompt_ids, ids, self._k + len(self._left_out))
        return stem, list(task.positions) or self._positions(task.solution, stem.inspection)

    def _open_if_it_fits(self, task: Task) -> Opened | None:
        return self.open(task) if self.fits(task) else None

    def _grade(self, agenda: Agenda, continued: Sequence[Continued]) -> list[Rollout]:
        tokenizer = self._engine.tokenizer
        found = [(agenda.task_of(fork.stem), fork.branch, new) for fork, new in continued]
        grades = self._verifier.verify_many([submission_of(*each, tokenizer) for each in found])
        return [
            Rollout(
                task.solution.id,
                branch,
                tokenizer.decode([branch.token_id], skip_special_tokens=False),
                new,
                grade,
            )
            for (task, branch, new), grade in zip(found, grades, strict=True)
        ]

    def _positions(self, solution: Solution, inspection: Inspection) -> list[Position]:
        ids = solution.completion.token_ids
        texts = token_texts(self._engine.tokenizer, ids)
        positions = []
        for position, token_id in enumerate(ids):
            others = others_at(inspection, position, token_id, self._left_out)[: self._k - 1]
            positions.append(
                Position(
                    solution.id,
                    position,
                    token_id,
                    texts[position],
                    float(inspection.token_probs[position]),
                    float(inspection.entropies[position]),
                    float(inspection.margins[position]),
                    [int(other) for other, _ in others],
                    [float(probability) for _, probability in others],
                )
            )
        return positions
