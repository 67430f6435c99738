"""A short taste of a job: some problems solved, some positions of their solutions tested, all of it timed."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cruxtune.counterfactual import Annotator, Task
from cruxtune.engines import Engine
from cruxtune.errors import ModelError
from cruxtune.progress import Bar
from cruxtune.recipe import Recipe
from cruxtune.recipe.engines import ReferenceEngineSettings
from cruxtune.records import Position, Problem, Rollout, Solution, Verdict
from cruxtune.stages.annotate import open_annotator
from cruxtune.stages.resources import solution_decoding
from cruxtune.stages.solve import open_solver
from cruxtune.verify import Verifier

BLOCK = 8
"""Positions of one solution that are tested together: neighbours, as they are in the job."""

IsOver = Callable[[], bool]
Place = tuple[Solution, list[int]]
"""A solution and some of its positions."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some positions of one solution, tested with every alternative."""

    solution: Solution
    positions: list[Position]
    rollouts: list[Rollout] = field(default_factory=list)

    @property
    def lazy_rollouts(self) -> list[Rollout]:
        """Those that a lazy test would have run: at each position up to the first right one."""
        needed, settled = [], set()
        for rollout in sorted(self.rollouts, key=lambda r: (r.branch.position, r.branch.rank)):
            if rollout.branch.position not in settled:
                needed.append(rollout)
            if rollout.grade.verdict is Verdict.CORRECT:
                settled.add(rollout.branch.position)
        return needed


@dataclass(frozen=True, slots=True)
class Sample:
    """Tested blocks, out of so many, and the seconds that they took."""

    blocks: list[Block]
    num_blocks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Prober:
    """An engine and a verifier that try a job out, in seeded random order."""

    recipe: Recipe
    engine: Engine
    verifier: Verifier
    problems: Sequence[Problem]
    """All problems of the job."""
    seed: int = 0

    def solve(self, is_over: IsOver, bar: Bar) -> tuple[list[Solution], float]:
        """Solutions of random problems, a part at a time, and the seconds that they took."""
        decoding = solution_decoding(self.recipe, self.problems)
        work = open_solver(decoding, self.recipe, self.engine, self.verifier)
        order = np.random.default_rng(self.seed).permutation(len(self.problems)).tolist()
        solutions: list[Solution] = []
        began, size = time.monotonic(), self.recipe.solve.part_size
        while len(solutions) < len(order) and not (solutions and is_over()):
            batch = order[len(solutions) : len(solutions) + size]
            solutions += work(0, [self.problems[index] for index in batch])
            bar.note(f"{len(solutions):,} problems solved")
        return solutions, time.monotonic() - began

    def annotate(self, solutions: Sequence[Solution], is_over: IsOver, bar: Bar) -> Sample:
        """Random blocks of positions, eagerly; once the time is over no other block is begun."""
        places = self._places(solutions)
        annotator = self._annotator()
        begun: dict[tuple[str, int], Block] = {}
        began, num_rollouts = time.monotonic(), 0
        for evidence in annotator.annotate(self._tasks(annotator, places, begun, is_over)):
            for rollout in evidence.rollouts:
                begun[rollout.solution_id, rollout.branch.position].rollouts.append(rollout)
            num_rollouts += len(evidence.rollouts)
            bar.note(f"{num_rollouts:,} rollouts")
        blocks = list({id(block): block for block in begun.values()}.values())
        if not blocks:
            raise ModelError("every solution is longer than the engine's context: choose a longer one")
        return Sample(blocks, len(places), time.monotonic() - began)

    def _annotator(self) -> Annotator:
        eager = self.recipe.annotate.model_copy(update={"mode": "eager"})
        recipe = self.recipe.model_copy(update={"annotate": eager})
        decoding = solution_decoding(recipe, self.problems)
        return open_annotator(recipe, self.engine, self.verifier, decoding)

    def _places(self, solutions: Sequence[Solution]) -> list[Place]:
        """All positions in blocks, in random order: every block is as likely to be tested."""
        size = self._block_size
        places = [
            (solution, list(positions[start : start + size]))
            for solution in solutions
            for positions in [range(len(solution.completion.token_ids))]
            for start in range(0, len(positions), size)
        ]
        return [places[number] for number in np.random.default_rng(self.seed).permutation(len(places))]

    @property
    def _block_size(self) -> int:
        """Where a batch waits for its slowest row, a batch is of neighbours, as in the job."""
        engine = self.recipe.engine
        if isinstance(engine, ReferenceEngineSettings):
            return max(BLOCK, engine.batch_size // (self.recipe.annotate.k - 1))
        return BLOCK

    def _tasks(
        self,
        annotator: Annotator,
        places: Sequence[Place],
        begun: dict[tuple[str, int], Block],
        is_over: IsOver,
    ) -> Iterator[Task]:
        """Blocks as tasks until the time is over, at least one; `begun` learns of each."""
        problems = {problem.id: problem for problem in self.problems}
        for solution, indices in places:
            if begun and is_over():
                return
            task = Task(problems[solution.problem_id], solution)
            if not annotator.fits(task):
                continue
            known = annotator.open(task)[1]
            block = Block(solution, [known[index] for index in indices])
            begun |= {(solution.id, position.position): block for position in block.positions}
            yield replace(task, positions=block.positions)
