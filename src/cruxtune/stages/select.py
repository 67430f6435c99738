"""Select: loss weights for every solution under every rule of the recipe. No model is run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cruxtune.errors import SelectionError
from cruxtune.recipe import Recipe
from cruxtune.recipe.references import rules_behind
from cruxtune.recipe.rules import TaggedTokens
from cruxtune.records import Solution, TokenWeights
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import annotated_solutions
from cruxtune.stages.material import Material
from cruxtune.stages.rewriting import rewrite
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
        found = _weigh(space, missing)
        for name, weighed in found.items():
            _require_tokens(name, weighed.counts)
        for name, weighed in found.items():
            _warn_of_stop_tokens(name, weighed.counts)
            _write(space.path("select", name), wanted[name], weighed)
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


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One selection, ready to be written."""

    weights: list[TokenWeights]
    counts: dict[str, float]
    rewritten: Sequence[Solution]
    """The solutions themselves where they are not the annotated ones."""


def _weigh(space: Workspace, names: Sequence[str]) -> dict[str, _Weighed]:
    rules, solutions = space.recipe.select, annotated_solutions(space)
    tagged = [name for name in names if isinstance(rules[name], TaggedTokens)]
    rewritten = rewrite(space, solutions) if tagged else []
    weigher, other = (Weigher(rules, Material(space, texts)) for texts in (solutions, rewritten))
    found = {}
    for name in names:
        texts = rewritten if name in tagged else solutions
        weights = _by_solution(texts, (other if name in tagged else weigher).weigh(name))
        found[name] = _Weighed(weights, _counts(texts, weights), rewritten if name in tagged else ())
    return found


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


def _write(directory: Path, wanted: Manifest, weighed: _Weighed) -> None:
    with StageWriter(directory, wanted) as writer:
        if weighed.rewritten:
            writer.write_part(0, Solution, weighed.rewritten)
        writer.write_part(0, TokenWeights, weighed.weights)
        writer.finish(weighed.counts)
