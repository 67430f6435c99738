"""How the methods of a run compare on its benchmarks."""

from collections.abc import Iterator

from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import AllTokens
from cruxtune.records import Response
from cruxtune.report.results import MethodRow, Scores, make_row, score
from cruxtune.stages.evaluate import BASE, Evaluation, directory_of
from cruxtune.stages.runs import run_names
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_records

ScoresByMethod = dict[str, Scores]
"""Base model first."""


def read_all_scores(space: Workspace) -> dict[str, ScoresByMethod]:
    """By benchmark."""
    return {name: read_scores(space, name) for name in space.recipe.evaluate.benchmarks}


def read_scores(space: Workspace, benchmark: str) -> ScoresByMethod:
    """Scores of the base and of every trained method on one benchmark."""
    checkpoints = {BASE: [BASE], **run_names(space.recipe)}
    return {
        method: score([_responses(space, name, benchmark) for name in names])
        for method, names in checkpoints.items()
    }


def baseline_of(recipe: Recipe) -> str:
    """The method that gains are measured against: as asked, else plain SFT, else the base model."""
    return recipe.report.baseline or next(
        (name for name in recipe.train.selections if _is_plain(recipe, name)), BASE
    )


def read_rows(space: Workspace) -> dict[str, list[MethodRow]]:
    """The rows of every benchmark's table."""
    return make_rows(read_all_scores(space), baseline_of(space.recipe))


def make_rows(scores: dict[str, ScoresByMethod], baseline: str) -> dict[str, list[MethodRow]]:
    """By benchmark, a row a method."""
    return {
        benchmark: [
            make_row(method, benchmark, own, None if method == baseline else by_method[baseline])
            for method, own in by_method.items()
        ]
        for benchmark, by_method in scores.items()
    }


def pass_curves(by_method: ScoresByMethod) -> dict[str, list[float]]:
    """Pass@1, Pass@2, … of each method."""
    return {
        method: [float(scores.pass_at(n).mean()) for n in range(1, scores.num_samples + 1)]
        for method, scores in by_method.items()
    }


def _is_plain(recipe: Recipe, method: str) -> bool:
    """Whether a method is plain SFT: all tokens, weighted alike, from the base model."""
    train = recipe.train
    rule = recipe.select[train.selection_of(method)]
    is_first = len(train.line(method)) == 1
    return isinstance(rule, AllTokens) and is_first and train.of(method).objective == "weighted"


def _responses(space: Workspace, checkpoint: str, benchmark: str) -> Iterator[Response]:
    return read_records(directory_of(space, Evaluation(checkpoint, benchmark)), Response)
