"""`cruxtune run`: every stage in order, skipping what is there already."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cruxtune.recipe import Recipe
from cruxtune.stages.annotate import annotate
from cruxtune.stages.evaluate import evaluate
from cruxtune.stages.gather import gather
from cruxtune.stages.report import report
from cruxtune.stages.sample import sample
from cruxtune.stages.score import score, scorings_behind
from cruxtune.stages.select import select
from cruxtune.stages.solve import solve
from cruxtune.stages.sweep import sweep
from cruxtune.stages.terms import Terms
from cruxtune.stages.train import train
from cruxtune.stages.workspace import StageResult
from cruxtune.train.processes import leave_group

Stage = Callable[..., StageResult]

STAGES: dict[str, Stage] = {
    "solve": solve,
    "sample": sample,
    "annotate": annotate,
    "gather": gather,
    "score": score,
    "select": select,
    "sweep": sweep,
    "train": train,
    "evaluate": evaluate,
    "report": report,
}
"""By verb, in the order in which data flows."""

_TRAINING = ("score", "select", "sweep", "train")


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a run, done."""

    verb: str
    result: StageResult


def stages_of(recipe: Recipe) -> list[str]:
    """The verbs that a recipe has work for: `score`, say, only where a selection asks a model."""
    is_optional = {
        "sample": recipe.sample.num_tries > 0,
        "gather": bool(recipe.solutions),
        "score": any(scorings_behind(recipe, name) for name in recipe.select),
        "sweep": recipe.sweep is not None,
    }
    return [verb for verb in STAGES if is_optional.get(verb, True)]


def run(
    recipe: Recipe, verbs: Sequence[str] = (), terms: Mapping[str, Terms] = MappingProxyType({})
) -> Iterator[Step]:
    """Walk the stages, yielding each as it is done: a generator, which does nothing until it is iterated.

    What an earlier run completed is not made again; a stage that was stopped with nothing to use is the last.
    `terms` are for some of solve, sample, annotate and evaluate.
    """
    try:
        for own, verb in [(recipe, verb) for verb in verbs] or _walk(recipe):
            stage = STAGES[verb]
            result = stage(own, terms[verb]) if verb in terms else stage(own)
            yield Step(verb, result)
            if not result.is_usable:
                return
    finally:
        leave_group()


def _walk(recipe: Recipe) -> Iterator[tuple[Recipe, str]]:
    """Runs whose checkpoints the selections ask are trained before anything is scored by them."""
    for verb in stages_of(recipe):
        if verb == "score":
            yield from (
                (own, early) for own in recipe.teachers() for early in _TRAINING if early in stages_of(own)
            )
        yield recipe, verb
