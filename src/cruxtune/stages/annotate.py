"""Annotate: the counterfactual test at every position of every correct solution (eq. 5-7)."""

from collections import Counter
from collections.abc import Sequence

from cruxtune.counterfactual import Annotator, Evidence, Task
from cruxtune.engines import Decoding, Engine
from cruxtune.errors import ArtifactError
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Position, Problem, Rollout, Solution, Verdict
from cruxtune.stages.resources import open_engine, open_verifier, solution_decoding, verify_settings
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, parts_of, read_part_table, read_records
from cruxtune.verify import Verifier


def annotate(recipe: Recipe) -> StageResult:
    """Write the evidence to `annotate/`: every position's alternatives, where they led, the verdicts."""
    space = Workspace(recipe)
    directory, wanted = space.path("annotate"), annotate_manifest(space)
    if is_complete(directory, wanted):
        return StageResult((directory,), ())
    solutions = annotated_solutions(space)
    with StageWriter(directory, wanted) as writer, open_verifier(recipe) as verifier:
        _write_parts(space, writer, verifier, solutions)
        writer.finish(_counts(recipe, writer, solutions))
    return StageResult((directory,), (directory,))


def annotate_manifest(space: Workspace) -> Manifest:
    """What `annotate/` must have been made from."""
    recipe = space.recipe
    settings = {
        "model": space.numerics(),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "solve": recipe.solve.model_dump(mode="json", include={"max_new_tokens"}),
        "annotate": recipe.annotate.model_dump(mode="json"),
        "verify": verify_settings(recipe),
    }
    return space.manifest("annotate", settings, inputs={space.path("solve"): solve_manifest(space)})


def annotated_solutions(space: Workspace) -> list[Solution]:
    """The correct solutions that this recipe annotates and trains on, in the order of their problems."""
    solutions = read_records(space.path("solve"), Solution)
    correct = [solution for solution in solutions if solution.grade.verdict is Verdict.CORRECT]
    if not correct:
        raise ArtifactError(
            f"none of the solutions in {space.path('solve')} is correct, so there is nothing to annotate: "
            "check prompt.template and solve.max_new_tokens, and look at the verdicts that `solve` counted"
        )
    return correct[: space.recipe.annotate.num_solutions]


def _write_parts(
    space: Workspace, writer: StageWriter, verifier: Verifier, solutions: Sequence[Solution]
) -> None:
    missing, done = writer.missing_parts(solutions, space.recipe.annotate.part_size, Rollout)
    if not missing:
        return
    problems = {problem.id: problem for problem in read_records(space.path("solve"), Problem)}
    decoding = solution_decoding(space.recipe, problems.values())
    annotator = _annotator(space.recipe, open_engine(space.recipe, space.model), verifier, decoding)
    with progress_bar("annotate", len(solutions), done) as bar:
        for index, part in missing:
            annotations: list[Evidence] = []
            for solution in part:
                task = Task(problems[solution.problem_id], solution)
                annotations += annotator.annotate([task])
                bar.advance()
            writer.write_part(index, Position, [p for a in annotations for p in a.positions])
            rollouts = [r for a in annotations for r in a.rollouts]
            order = {solution.id: number for number, solution in enumerate(part)}
            rollouts.sort(key=lambda r: (order[r.solution_id], r.branch.position, r.branch.rank))
            writer.write_part(index, Rollout, rollouts)


def _annotator(recipe: Recipe, engine: Engine, verifier: Verifier, decoding: Decoding) -> Annotator:
    return Annotator(
        engine,
        verifier,
        decoding,
        k=recipe.annotate.k,
        is_lazy=recipe.annotate.mode == "lazy",
        skip_special=recipe.annotate.skip_special,
    )


def _counts(recipe: Recipe, writer: StageWriter, solutions: Sequence[Solution]) -> dict[str, float]:
    """From the columns that are needed, a part at a time: rollouts can be millions."""
    verdicts: Counter[str] = Counter()
    num_tokens = 0
    for index, _ in parts_of(solutions, recipe.annotate.part_size):
        table = read_part_table(writer.directory, index, Rollout)
        verdicts.update(table["verdict"].to_pylist())
        num_tokens += sum(len(chunk.values) for chunk in table["token_ids"].chunks)
    return {
        "num_solutions": len(solutions),
        "num_positions": sum(len(solution.completion.token_ids) for solution in solutions),
        "num_rollouts": verdicts.total(),
        "num_rollout_tokens": num_tokens,
        **{f"num_{verdict}": verdicts[verdict] for verdict in Verdict},
    }
