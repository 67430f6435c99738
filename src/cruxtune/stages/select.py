"""Select: loss weights for every solution under every rule of the recipe. No model is needed."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cruxtune.errors import SelectionError
from cruxtune.recipe import Recipe
from cruxtune.recipe.rules import AllTokens, GradedRule, RandomTokens, Selection, StrictRule, UnionRule
from cruxtune.records import FinishReason, Rollout, Solution, TokenWeights
from cruxtune.select import (
    Evidence,
    all_tokens,
    gather_evidence,
    graded,
    random_tokens,
    strict,
    to_weights,
    union,
)
from cruxtune.stages.annotate import annotate_manifest
from cruxtune.stages.evidence import annotated_solutions, num_gaps
from cruxtune.stages.workspace import StageResult, Workspace
from cruxtune.store import Manifest, StageWriter, is_complete, read_records

logger = logging.getLogger(__name__)

MIN_STOP_SHARE = 0.01
"""Of the solutions' stop tokens; a selection that takes fewer gets a warning."""


def select(recipe: Recipe) -> StageResult:
    """Write one directory of weights a selection, `select/<name>/`."""
    space = Workspace(recipe)
    wanted = {name: select_manifest(space, rule) for name, rule in recipe.select.items()}
    missing = [name for name in wanted if not is_complete(space.path("select", name), wanted[name])]
    if missing:
        solutions = annotated_solutions(space)
        evidence = _read_evidence(space, solutions)
        for name in missing:
            weights = _weigh(recipe.select, name, evidence)
            counts = _counts(solutions, weights)
            _check(name, counts)
            _write(space.path("select", name), wanted[name], weights, counts)
    directories = {name: space.path("select", name) for name in wanted}
    return StageResult(tuple(directories.values()), tuple(directories[name] for name in missing))


def _read_evidence(space: Workspace, solutions: Sequence[Solution]) -> list[Evidence]:
    """All evidence, with a warning where another verifier left gaps in it."""
    gaps = num_gaps(space)
    if gaps:
        logger.warning("%d positions need alternatives that were not run: they are untested", gaps)
    rollouts = read_records(space.path("annotate"), Rollout)
    return gather_evidence(solutions, rollouts, has_gaps=gaps > 0)


def select_manifest(space: Workspace, rule: Selection) -> Manifest:
    """What a directory of weights must have been made from."""
    settings = {"rule": rule.model_dump(mode="json")}
    if isinstance(rule, RandomTokens):
        settings["match"] = space.recipe.select[rule.match].model_dump(mode="json")
    return space.manifest("select", settings, inputs={space.path("annotate"): annotate_manifest(space)})


def apply_rule(rule: Selection, evidence: Sequence[Evidence]) -> list[list[float]]:
    """The weights that a rule gives to each solution; random ones need what they match."""
    match rule:
        case AllTokens():
            return [all_tokens(item.num_tokens) for item in evidence]
        case StrictRule():
            return [to_weights(strict(e, rule.k, rule.min_alternative_prob)) for e in evidence]
        case UnionRule():
            return [to_weights(union(e, rule.k, rule.min_alternative_prob)) for e in evidence]
        case GradedRule():
            return [graded(e, rule.k, rule.min_alternative_prob) for e in evidence]
        case RandomTokens():
            raise SelectionError("a random selection needs the weights of the one that it matches")


def _weigh(rules: dict[str, Selection], name: str, evidence: Sequence[Evidence]) -> list[TokenWeights]:
    rule = rules[name]
    try:
        if isinstance(rule, RandomTokens):
            weights = random_tokens(apply_rule(rules[rule.match], evidence), rule.seed)
        else:
            weights = apply_rule(rule, evidence)
    except SelectionError as error:
        raise SelectionError(f"select.{name}: {error}") from error
    return [TokenWeights(e.solution_id, w) for e, w in zip(evidence, weights, strict=True)]


def _counts(solutions: Sequence[Solution], weights: Sequence[TokenWeights]) -> dict[str, float]:
    num_tokens = sum(len(item.loss_weights) for item in weights)
    num_selected = sum(weight > 0 for item in weights for weight in item.loss_weights)
    stopped = [s.completion.finish_reason is FinishReason.STOP for s in solutions]
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


def _check(name: str, counts: dict[str, float]) -> None:
    """Refuse a selection of nothing; warn of one from which a model could unlearn to stop."""
    if not counts["num_selected"]:
        raise SelectionError(
            f"select.{name} selects none of {counts['num_tokens']} tokens: there is nothing to train on"
        )
    if counts["num_stop_tokens_selected"] < MIN_STOP_SHARE * counts["num_stop_tokens"]:
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
