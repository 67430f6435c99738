"""Sample: right solutions of the problems that greedy decoding missed (CFT paper, section 5.1)."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cruxtune.engines import Decoding, Engine
from cruxtune.problems import PromptEncoder
from cruxtune.recipe import Recipe
from cruxtune.recipe.sections import SampleSection
from cruxtune.records import Origin, Problem, Sample, Solution, Verdict
from cruxtune.stages.crew import open_crew, write_parts
from cruxtune.stages.resources import solution_decoding, verify_settings
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.terms import WHOLE, Terms, stopped_note
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import (
    Manifest,
    StageWriter,
    is_complete,
    num_items,
    parts_of,
    read_part,
    read_records,
)
from cruxtune.verify import Verifier

MILESTONES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""After so many tries the stage counts what is solved."""


def sample(recipe: Recipe, terms: Terms = WHOLE) -> StageResult:
    """Write to `sample/` what became of each missed problem: its first right try, or the last one."""
    if not recipe.sample.num_tries:
        return StageResult((), ())
    space, terms = Workspace(recipe), terms.from_now()
    directory, wanted = space.place(terms, space.path("sample"), sample_manifest(space))
    if is_complete(directory, wanted):
        return StageResult((directory,), ())
    problems = missed_problems(space)
    parts = terms.own(parts_of(problems, recipe.sample.part_size))
    decoding = replace(solution_decoding(recipe, problems), temperature=recipe.sample.temperature)
    work = partial(open_sampler, decoding)
    with StageWriter(directory, wanted) as writer, open_crew(recipe, space.model, terms) as crew:
        left = write_parts(crew, work, writer, parts, Sample, "sample", terms)
        if left:
            return StageResult((directory,), (), stopped_note(left, num_items(parts), "problems"))
        writer.finish(sample_counts(directory, [index for index, _ in parts], recipe.sample.num_tries))
    return StageResult((directory,), (directory,))


def sample_manifest(space: Workspace) -> Manifest:
    """What `sample/` must have been made from."""
    recipe = space.recipe
    settings = {
        "model": space.numerics(),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "solve": recipe.solve.model_dump(mode="json", include={"max_new_tokens"}),
        "sample": recipe.sample.model_dump(mode="json"),
        "verify": verify_settings(recipe),
    }
    return space.manifest("sample", settings, inputs={space.path("solve"): solve_manifest(space)})


def missed_problems(space: Workspace) -> list[Problem]:
    """The problems without a right greedy solution."""
    solutions = read_records(space.path("solve"), Solution)
    solved = {s.problem_id for s in solutions if s.grade.verdict is Verdict.CORRECT}
    return [problem for problem in read_records(space.path("solve"), Problem) if problem.id not in solved]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Tries problems in rounds: those that are not solved yet, as many tries of each as fill the engine."""

    engine: Engine
    verifier: Verifier
    encoder: PromptEncoder
    decoding: Decoding
    settings: SampleSection

    def sample(self, problems: Sequence[Problem]) -> list[Sample]:
        """One sample a problem, in their order."""
        found: dict[str, Sample] = {}
        left, num_tried = list(problems), 0
        while left and num_tried < self.settings.num_tries:
            num_more = max(self.settings.part_size // len(left), 1)
            last = min(num_tried + num_more, self.settings.num_tries)
            for tried in self._round(left, range(num_tried + 1, last + 1)):
                if _is_right(tried) or tried.num_tries == self.settings.num_tries:
                    found.setdefault(tried.solution.problem_id, tried)
            left, num_tried = [problem for problem in left if problem.id not in found], last
        return [found[problem.id] for problem in problems]

    def _round(self, problems: Sequence[Problem], numbers: Sequence[int]) -> Iterator[Sample]:
        """Some tries of each problem, the earlier ones first."""
        tries = [(problem, number) for problem in problems for number in numbers]
        prompts = [self.encoder.encode(problem) for problem, _ in tries]
        seeds = [seed_of(self.settings.seed, problem.id, number) for problem, number in tries]
        completions = self.engine.generate(prompts, self.decoding, seeds)
        texts = [(p, c.text, c.finish_reason) for (p, _), c in zip(tries, completions, strict=True)]
        grades = self.verifier.verify_many(texts)
        for (problem, number), prompt, completion, grade in zip(
            tries, prompts, completions, grades, strict=True
        ):
            id = f"{problem.id}#{Origin.SAMPLED}"
            yield Sample(Solution(id, problem.id, prompt, completion, grade, Origin.SAMPLED), number)


def open_sampler(
    decoding: Decoding, recipe: Recipe, engine: Engine, verifier: Verifier
) -> Callable[[int, Sequence[Problem]], list[Sample]]:
    """What turns a part of the missed problems into samples."""
    encoder = PromptEncoder(recipe.prompt.template, engine.tokenizer)
    sampler = Sampler(engine, verifier, encoder, decoding, recipe.sample)
    return lambda _, problems: sampler.sample(problems)


def seed_of(seed: int, problem_id: str, number: int) -> int:
    """The seed of one try, whatever is tried beside it."""
    digest = hashlib.sha256(f"{seed} {problem_id} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def sample_counts(directory: Path, indices: Sequence[int], num_tries: int) -> dict[str, float]:
    """How many problems are solved, and within how many tries."""
    samples = [sample for index in indices for sample in read_part(directory, index, Sample)]
    numbers = [sample.num_tries for sample in samples if _is_right(sample)]
    milestones = [*(count for count in MILESTONES if count < num_tries), num_tries]
    return {
        "num_problems": len(samples),
        "num_correct": len(numbers),
        "num_tries": sum(sample.num_tries for sample in samples),
        **{f"solved_within_{m}": sum(number <= m for number in numbers) for m in milestones},
    }


def _is_right(sample: Sample) -> bool:
    return sample.solution.grade.verdict is Verdict.CORRECT
