"""Solve: greedy solutions of the training problems, each with its verdict (CFT paper, eq. 3, 4)."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cruxtune.engines import Decoding, Engine
from cruxtune.problems import PromptEncoder
from cruxtune.recipe import Recipe
from cruxtune.records import Origin, Problem, Solution, Verdict
from cruxtune.stages.crew import open_crew, write_parts
from cruxtune.stages.resources import solution_decoding, verify_settings
from cruxtune.stages.terms import WHOLE, Terms, stopped_note
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, num_items, parts_of, read_part
from cruxtune.verify import Verifier

logger = logging.getLogger(__name__)


def solve(recipe: Recipe, terms: Terms = WHOLE) -> StageResult:
    """Write one greedy solution a problem to `solve/`, right ones and wrong ones, with verdicts."""
    space, terms = Workspace(recipe), terms.from_now()
    directory, wanted = space.place(terms, space.path("solve"), solve_manifest(space))
    if is_complete(directory, wanted):
        return StageResult((directory,), ())
    problems = space.training_problems
    parts = terms.own(parts_of(problems, recipe.solve.part_size))
    work = partial(open_solver, solution_decoding(recipe, problems))
    with StageWriter(directory, wanted) as writer, open_crew(recipe, space.model, terms) as crew:
        left = write_parts(crew, work, writer, parts, Solution, "solve", terms)
        if left:
            return StageResult((directory,), (), stopped_note(left, num_items(parts), "problems"))
        writer.finish(solve_counts(directory, [index for index, _ in parts]))
    return StageResult((directory,), (directory,))


def solve_manifest(space: Workspace) -> Manifest:
    """What `solve/` must have been made from."""
    recipe = space.recipe
    settings = {
        "model": space.numerics(),
        "problems": recipe.problems.model_dump(mode="json", exclude={"path"}),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "solve": recipe.solve.model_dump(mode="json"),
        "verify": verify_settings(recipe),
    }
    if recipe.validation:
        settings["validation"] = recipe.validation.model_dump(mode="json")
    return space.manifest("solve", settings, inputs={}, problems=space.training_problems)


def open_solver(
    decoding: Decoding, recipe: Recipe, engine: Engine, verifier: Verifier
) -> Callable[[int, Sequence[Problem]], list[Solution]]:
    """What turns a part of the problems into graded solutions."""
    encoder = PromptEncoder(recipe.prompt.template, engine.tokenizer)
    return lambda _, problems: solve_problems(engine, verifier, encoder, problems, decoding)


def solve_problems(
    engine: Engine,
    verifier: Verifier,
    encoder: PromptEncoder,
    problems: Sequence[Problem],
    decoding: Decoding,
) -> list[Solution]:
    """One greedy solution a problem, graded."""
    prompts = [encoder.encode(problem) for problem in problems]
    completions = engine.generate(prompts, decoding)
    texts = [(p, c.text, c.finish_reason) for p, c in zip(problems, completions, strict=True)]
    grades = verifier.verify_many(texts)
    return [
        Solution(problem.id, problem.id, prompt, completion, grade, Origin.GREEDY)
        for problem, prompt, completion, grade in zip(problems, prompts, completions, grades, strict=True)
    ]


def solve_counts(directory: Path, indices: Sequence[int]) -> dict[str, float]:
    """What the stage reports, from its parts."""
    solutions = [solution for index in indices for solution in read_part(directory, index, Solution)]
    _warn_of_long_prompts(solutions)
    return count_solutions(solutions)


def count_solutions(solutions: Sequence[Solution]) -> dict[str, float]:
    """The verdicts on all problems, and how long the right solutions are."""
    correct = [s for s in solutions if s.grade.verdict is Verdict.CORRECT]
    num_tokens = sum(len(s.completion.token_ids) for s in correct)
    return {
        "num_problems": len(solutions),
        **{f"num_{verdict}": sum(s.grade.verdict is verdict for s in solutions) for verdict in Verdict},
        "accuracy": len(correct) / max(len(solutions), 1),
        "mean_tokens": num_tokens / max(len(correct), 1),
    }


def _warn_of_long_prompts(solutions: Sequence[Solution]) -> None:
    long = [solution.problem_id for solution in solutions if not solution.completion.token_ids]
    if long:
        logger.warning(
            "%d problems fill the model's context with their prompt and got no solution, the first is %s",
            len(long),
            long[0],
        )
