"""Select: loss weights for every solution under every rule of the recipe. No model is run."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cruxtune.errors import SelectionError
from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import Selection, TaggedTokens, TransferredTokens
from cruxtune.recipe.sources import RunSolutions
from cruxtune.recipe.uses import Use, rules_behind, sets_of
from cruxtune.records import Solution, TokenWeights
from cruxtune.stages.material import Material
from cruxtune.stages.other_run import OtherRun
from cruxtune.stages.rewriting import Texts, rewrite
from cruxtune.stages.score import score_manifest, scorings_behind
from cruxtune.stages.solution_sets import set_inputs
from cruxtune.stages.weigh import Weigher, by_solution
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, read_manifest, read_records, require_same

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
    made = tuple(directories[name] for name in missing)
    return StageResult(tuple(directories.values()), made, _note(made))


def select_manifest(space: Workspace, name: str) -> Manifest:
    """What a directory of weights must have been made from."""
    recipe = space.recipe
    first, *others = rules_behind(name, recipe.select)
    settings: dict[str, Any] = {"rule": first.rule.model_dump(mode="json")}
    if others:
        settings["uses"] = {use.name: use.rule.model_dump(mode="json") for use in others}
    if digests := dict(_digests_elsewhere(recipe, [first, *others])):
        settings["elsewhere"] = digests
    inputs = set_inputs(space, dict.fromkeys(one for use in [first, *others] for one in use.sets))
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
    """The solutions themselves where they are not as they were."""


def _weigh(space: Workspace, names: Sequence[str]) -> dict[str, _Weighed]:
    rules, texts = space.recipe.select, Texts(space)
    original = cache(lambda sets: Material(space, {name: texts.in_set(name) for name in sets}))
    rewritten = cache(lambda sets: Material(space, {one: rewrite(space, texts.in_set(one)) for one in sets}))
    weighers = {False: Weigher(rules, original), True: Weigher(rules, rewritten)}
    found = {}
    for name in names:
        rule, sets = rules[name], sets_of(name, rules)
        is_tagged = isinstance(rule, TaggedTokens)
        material = (rewritten if is_tagged else original)(sets)
        rows = by_solution(material.solutions, weighers[is_tagged].weigh(name))
        weights = [TokenWeights(id, row.tolist()) for id, row in rows.items()]
        counts = _counts(material.solutions, weights) | _coverage_counts(rule, material)
        found[name] = _Weighed(weights, counts, material.solutions if is_tagged else ())
    return found


def coverage_note(counts: Mapping[str, float]) -> str:
    """How far a selection was carried over to other tokens, in words; empty where it wasn't."""
    if "num_source_characters" not in counts:
        return ""
    wanted, covered, extra = (counts[f"num_{what}_characters"] for what in ("source", "covered", "extra"))
    return f"{covered:,.0f} of {wanted:,.0f} chosen characters are in selected tokens, and {extra:,.0f} more"


def _note(made: Sequence[Path]) -> str:
    notes = {path.name: coverage_note(read_manifest(path).counts) for path in made}
    return "\n          ".join(f"select.{name}: {note}" for name, note in notes.items() if note)


def _digests_elsewhere(recipe: Recipe, uses: Iterable[Use]) -> Iterator[tuple[str, str]]:
    """Of weights that are taken from other runs."""
    for use in uses:
        if isinstance(use.rule, TransferredTokens):
            source = recipe.solutions[use.sets[0]]
            assert isinstance(source, RunSolutions)
            yield f"{use.sets[0]}/{use.rule.selection}", OtherRun(source).digest_of(use.rule.selection)


def _coverage_counts(rule: Selection, material: Material) -> dict[str, float]:
    coverage = material.transferred(rule.selection)[1] if isinstance(rule, TransferredTokens) else None
    if coverage is None:
        return {}
    return {
        "num_source_characters": coverage.num_selected,
        "num_covered_characters": coverage.num_covered,
        "num_extra_characters": coverage.num_extra,
    }


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
