"""Select: loss weights for every solution under every rule of the recipe. No model is run."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cruxtune.errors import SelectionError
from cruxtune.recipe import Recipe
from cruxtune.recipe.references import rules_behind
from cruxtune.records import Solution, TokenWeights
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.material import Material
from cruxtune.stages.score import score_manifest, scorings_behind
from cruxtune.stages.weigh import Weigher, Weights
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, read_records, require_same

logger = logging.getLogger(__name__)

MIN_STOP_SHARE = 0.01
"""Of the solutions' stop tokens; a selection that takes fewer gets a warning."""


def select(recipe: Recipe) -> StageResult:
    """Write one directory of weights a selection, `select/<name>/`; none of them where one is refused."""
    space = Workspace(recipe)
    wanted = {name: select_manifest(space, name) for name in recipe.select}
    missing = [name for name in wanted if not is_complete(space.path("select", name), wanted[name])]
    if missing:
        solutions = annotated_solutions(space)
        weigher = Weigher(recipe.select, Material(space, solutions))
        weights = {name: _by_solution(solutions, weigher.weigh(name)) for name in missing}
        counts = {name: _counts(solutions, weights[name]) for name in missing}
        for name in missing:
            _require_tokens(name, counts[name])
        for name in missing:
            _warn_of_stop_tokens(name, counts[name])
            _write(space.path("select", name), wanted[name], weights[name], counts[name])
    directories = {name: space.path("select", name) for name in wanted}
    return StageResult(tuple(directories.values()), tuple(directories[name] for name in missing))


def select_manifest(space: Workspace, name: str) -> Manifest:
    """What a directory of weights must have been made from."""
    recipe = space.recipe
    (_, rule), *others = rules_behind(name, recipe.select)
    settings = {"rule": rule.model_dump(mode="json")}
    if others:
        settings["uses"] = {used: other.model_dump(mode="json") for used, other in others}
    inputs = {space.path("annotate"): annotate_manifest(space)}
    for scoring in scorings_behind(recipe, name):
        inputs[scoring.directory(space)] = score_manifest(space, scoring)
    return space.manifest("select", settings, inputs)


def read_weights(space: Workspace, name: str) -> dict[str, list[float]]:
    """The weights that a selection gave, by solution."""
    rows = read_records(space.path("select", name), TokenWeights)
    return {row.solution_id: row.loss_weights for row in rows}


def checked_weights(space: Workspace, name: str) -> dict[str, list[float]]:
    """The same; raises where they are not what this recipe would give."""
    require_same(space.path("select", name), select_manifest(space, name))
    return read_weights(space, name)


def misses_stops(num_selected: float, num_stops: float) -> bool:
    """Whether so few stop tokens are selected that a model could unlearn to stop."""
    return num_selected < MIN_STOP_SHARE * num_stops


def _by_solution(solutions: Sequence[Solution], weights: Weights) -> list[TokenWeights]:
    ends = np.cumsum([len(solution.completion.token_ids) for solution in solutions])
    rows = np.split(weights, ends[:-1])
    return [TokenWeights(s.id, row.tolist()) for s, row in zip(solutions, rows, strict=True)]


def _counts(solutions: Sequence[Solution], weights: Sequence[TokenWeights]) -> dict[str, float]:
    num_tokens = sum(len(item.loss_weights) for item in weights)
    num_selected = sum(weight > 0 for item in weights for weight in item.loss_weights)
    stopped = [solution.completion.has_stopped for solution in solutions]
    return {
        "num_tokens": num_tokens,
        "num_selected": num_selected,
        "share_selected": num_selected / num_tokens,
        "weight_sum": sum(weight for item in weights for weight in item.loss_weights),
        "num_stop_tokens": sum(stopped),
        "num_stop_tokens_selected": sum(
            has_stop and item.loss_weights[-1] > 0 for has_stop, item in zip(stopped, weights, strict=True)
        ),
    }


def _require_tokens(name: str, counts: dict[str, float]) -> None:
    if not counts["num_selected"]:
        raise SelectionError(
            f"select.{name} selects none of {counts['num_tokens']} tokens: there is nothing to train on"
        )


def _warn_of_stop_tokens(name: str, counts: dict[str, float]) -> None:
    if misses_stops(counts["num_stop_tokens_selected"], counts["num_stop_tokens"]):
        logger.warning(
            "select.%s selects the stop token in %d of %d solutions: a model that never trains on it can "
            "forget to stop, so look at the share that is cut off",
            name,
            counts["num_stop_tokens_selected"],
            counts["num_stop_tokens"],
        )


def _write(
    directory: Path, wanted: Manifest, weights: Sequence[TokenWeights], counts: dict[str, float]
) -> None:
    with StageWriter(directory, wanted) as writer:
        writer.write_part(0, TokenWeights, weights)
        writer.finish(counts)
