"""Annotate: the counterfactual test at every position of every correct solution (eq. 5-7)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

from cruxtune.counterfactual import Annotator, Evidence, Task
from cruxtune.engines import Decoding, Engine
from cruxtune.progress import progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Problem
from cruxtune.stages.crew import open_crew
from cruxtune.stages.evidence import annotate_counts, wanted_solutions
from cruxtune.stages.harvest import Harvest, Part
from cruxtune.stages.pace import Pace
from cruxtune.stages.resources import solution_decoding, verify_settings
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.terms import WHOLE, Terms
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import (
    Manifest,
    StageWriter,
    is_complete,
    parts_of,
    read_records,
)
from cruxtune.verify import Verifier


def annotate(recipe: Recipe, terms: Terms = WHOLE) -> StageResult:
    """Write the evidence to `annotate/`: every position's alternatives, where they led, the verdicts.

    Stopped before its end, by a budget or a crash, it goes on where it was.
    """
    space, terms = Workspace(recipe), terms.from_now()
    directory, wanted = space.place(terms, space.path("annotate"), annotate_manifest(space))
    if is_complete(directory, wanted):
        return StageResult((directory,), ())
    parts = terms.own(parts_of(wanted_solutions(space), recipe.annotate.part_size))
    problems = {problem.id: problem for problem in read_records(space.path("solve"), Problem)}
    with StageWriter(directory, wanted) as writer:
        harvest = Harvest(writer, recipe.annotate, parts, problems)
        _gather(space, harvest, solution_decoding(recipe, problems.values()), terms)
        return _close(writer, harvest, parts)


def _gather(space: Workspace, harvest: Harvest, decoding: Decoding, terms: Terms) -> None:
    """Take evidence as it comes until there is none left or the time is used up."""
    if harvest.is_whole or terms.is_over:
        return
    work = partial(open_work, decoding)
    try:
        with (
            open_crew(space.recipe, space.model, terms) as crew,
            closing(crew.annotate(work, harvest.tasks(), harvest.num_unfinished)) as stream,
            progress_bar("annotate", harvest.num_solutions, harvest.num_done) as bar,
        ):
            pace = Pace(bar, space.recipe.annotate.k)
            for evidence in stream:
                harvest.take(evidence)
                pace.take(evidence)
                if terms.is_over:
                    break
    finally:
        harvest.flush()


def _close(writer: StageWriter, harvest: Harvest, parts: Sequence[Part]) -> StageResult:
    if harvest.is_whole:
        harvest.finish()
        writer.finish(annotate_counts(writer.directory, parts, harvest.num_solutions))
        return StageResult((writer.directory,), (writer.directory,))
    whole = harvest.write_beginning()
    writer.pause(annotate_counts(writer.directory, parts, harvest.num_usable), whole)
    made = (writer.directory,) if harvest.num_usable else ()
    return StageResult((writer.directory,), made, _pause_note(harvest))


def _pause_note(harvest: Harvest) -> str:
    if not harvest.num_usable:
        return "stopped before the first solution was through: the same command goes on"
    return (
        f"stopped: the evidence covers {harvest.num_usable:,} of {harvest.num_solutions:,} solutions, a fair "
        "sample that the next stages can use as it is; the same command goes on"
    )


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


def open_work(
    decoding: Decoding, recipe: Recipe, engine: Engine, verifier: Verifier
) -> Callable[[Iterable[Task]], Iterator[Evidence]]:
    """What turns solutions into evidence."""
    return open_annotator(recipe, engine, verifier, decoding).annotate


def open_annotator(recipe: Recipe, engine: Engine, verifier: Verifier, decoding: Decoding) -> Annotator:
    """The counterfactual test as the recipe asks for it."""
    return Annotator(
        engine,
        verifier,
        decoding,
        k=recipe.annotate.k,
        is_lazy=recipe.annotate.mode == "lazy",
        skip_special=recipe.annotate.skip_special,
    )
