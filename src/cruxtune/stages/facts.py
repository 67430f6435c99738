"""The numbers that describe a run: what was solved, annotated, selected, and how training went."""

import json
from collections.abc import Iterator, Mapping

from cruxtune.recipe.rules import StrictRule
from cruxtune.recipe.uses import OWN_SETS, sets_of
from cruxtune.stages.evaluate import BASE, evaluations
from cruxtune.stages.runs import choice_of
from cruxtune.stages.select import coverage_note
from cruxtune.stages.shown import marking_rule
from cruxtune.stages.workspace import Workspace
from cruxtune.store import read_manifest


def read_facts(space: Workspace) -> list[tuple[str, str]]:
    """Names and values, in words."""
    solved = read_manifest(space.path("solve")).counts
    sampled = read_manifest(space.path("sample")).counts if space.recipe.sample.num_tries else {}
    tried = read_manifest(space.path("annotate")).counts
    identity = space.identity
    return [
        ("model", identity.name + (f" @ {identity.revision}" if identity.revision else "")),
        ("problems solved greedily", f"{solved['num_correct']:.0f} of {solved['num_problems']:.0f}"),
        *([("the others solved by sampling", _in_tries(sampled))] if sampled else []),
        ("accuracy on the training problems", f"{100 * solved['accuracy']:.1f} %"),
        ("mean length of a solution", f"{solved['mean_tokens']:.1f} tokens"),
        ("solutions annotated", _coverage(tried)),
        ("rollouts", f"{tried['num_rollouts']:,.0f} ({tried['num_rollout_tokens']:,.0f} tokens)"),
        *((f"right solutions of {name}", _gathered(space, name)) for name in space.recipe.solutions),
        ("critical tokens marked by", _in_words(marking_rule(space.recipe))),
        *(
            (f"share selected by {name}{_of_others(space, name)}", f"{100 * share:.1f} %")
            for name, share in read_shares(space).items()
        ),
        *((f"{method} was trained with", chosen) for method, chosen in _choices(space)),
        *_transfers(space),
    ]


def read_shares(space: Workspace) -> dict[str, float]:
    """The share of tokens that each selection takes."""
    return {
        name: read_manifest(space.path("select", name)).counts["share_selected"]
        for name in space.recipe.select
    }


def read_method_shares(space: Workspace) -> dict[str, float]:
    """The share of tokens that each method trains on; of several stages the last one's."""
    train, shares = space.recipe.train, read_shares(space)
    return {method: shares[train.selection_of(method)] for method in train.selections}


def read_selections(space: Workspace) -> Iterator[tuple[str, int, int, float]]:
    """Name, selected tokens, all tokens, sum of weights."""
    for name in space.recipe.select:
        counts = read_manifest(space.path("select", name)).counts
        yield name, int(counts["num_selected"]), int(counts["num_tokens"]), counts["weight_sum"]


def read_loss_curves(space: Workspace) -> dict[str, list[float]]:
    """By run: the loss at each optimizer step."""
    names = [item.checkpoint for item in evaluations(space.recipe) if item.checkpoint != BASE]
    logs = {name: space.path("train", name, "steps.jsonl") for name in dict.fromkeys(names)}
    lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in logs.items()}
    return {name: [json.loads(line)["loss"] for line in log] for name, log in lines.items()}


def _in_tries(sampled: Mapping[str, float]) -> str:
    """`14 of 20 (within so many tries, 1: 5, 2: 8, 5: 14)`."""
    solved = {
        int(name.removeprefix("solved_within_")): number
        for name, number in sampled.items()
        if name.startswith("solved_within_")
    }
    within = ", ".join(f"{tries}: {solved[tries]:,.0f}" for tries in sorted(solved))
    return f"{sampled['num_correct']:,.0f} of {sampled['num_problems']:,.0f} (within so many tries, {within})"


def _choices(space: Workspace) -> Iterator[tuple[str, str]]:
    for method in space.recipe.swept:
        chosen = ", ".join(f"{key} {value}" for key, value in choice_of(space, method).items())
        yield method, f"{chosen} (chosen by the sweep)"


def _coverage(tried: Mapping[str, float]) -> str:
    """Partial evidence is named as such."""
    covered, wanted, too_long = tried["num_solutions"], tried["num_wanted"], tried.get("num_too_long", 0)
    sample = "" if covered == wanted else f" of {wanted:,.0f} (a random sample)"
    left_out = f"; {too_long:,.0f} longer than the engine's context left out" if too_long else ""
    return f"{covered - too_long:,.0f}{sample}{left_out}"


def _gathered(space: Workspace, name: str) -> str:
    counts = read_manifest(space.path("gather", name)).counts
    return f"{counts['num_correct']:,.0f} of {counts['num_responses']:,.0f}"


def _of_others(space: Workspace, name: str) -> str:
    """On which solutions, where not on the greedy ones alone."""
    sets = sets_of(name, space.recipe.select)
    return "" if sets == OWN_SETS[:1] else f" ({', '.join(sets)})"


def _transfers(space: Workspace) -> Iterator[tuple[str, str]]:
    """What was carried over to other tokens."""
    for name in space.recipe.select:
        if note := coverage_note(read_manifest(space.path("select", name)).counts):
            yield f"carried over by {name}", note


def _in_words(rule: StrictRule) -> str:
    floor = rule.min_alternative_prob
    return f"Strict-{rule.k}" + (f" with alternatives of probability {floor:g} and more" if floor else "")
