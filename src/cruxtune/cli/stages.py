"""The verbs that are stages, and their walk."""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from cruxtune.cli.application import Budget, Overrides, RayOption, RecipeArgument, ShardOption, app
from cruxtune.cli.printing import log, peak_memory_gib, print_next, print_results, print_step
from cruxtune.progress import duration

INTERRUPTED = 130
SPREAD = ("solve", "annotate", "evaluate")
"""The verbs that take a budget, a shard or a cluster."""


@app.command()
def run(
    recipe: RecipeArgument, overrides: Overrides = None, budget: Budget = None, ray: RayOption = False
) -> None:
    """Walk all stages, from problems to the report; what is there already is not made again.

    A budget is for the annotation; the stages after it work on what it found out.
    """
    terms = {verb: _terms(budget if verb == "annotate" else None, None, ray) for verb in SPREAD}
    _walk(recipe, overrides, None, terms)


@app.command()
def solve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    ray: RayOption = False,
) -> None:
    """Write a greedy solution of every training problem, with its verdict."""
    _walk(recipe, overrides, "solve", {"solve": _terms(budget, shard, ray)})


@app.command()
def annotate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    ray: RayOption = False,
) -> None:
    """Replace every token of every correct solution, continue, verify; store the evidence."""
    _walk(recipe, overrides, "annotate", {"annotate": _terms(budget, shard, ray)})


@app.command()
def score(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Ask a model for what selections rank tokens by: attention, probabilities in another model."""
    _walk(recipe, overrides, "score")


@app.command()
def select(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Turn the evidence into loss weights, one set a rule."""
    _walk(recipe, overrides, "select")


@app.command()
def train(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Fine-tune the base model on each set of weights with each seed."""
    _walk(recipe, overrides, "train")


@app.command()
def evaluate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    ray: RayOption = False,
) -> None:
    """Let the base model and every checkpoint answer the benchmarks."""
    _walk(recipe, overrides, "evaluate", {"evaluate": _terms(budget, shard, ray)})


@app.command()
def report(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Write the tables and the page from what the other stages wrote."""
    _walk(recipe, overrides, "report")


def _terms(budget: str | None, shard: str | None, ray: bool) -> Any:
    from cruxtune.errors import RecipeError
    from cruxtune.stages.terms import Terms, parse_budget, parse_shard

    if shard and ray:
        raise RecipeError("--shard and --ray are two ways to spread the work: choose one")
    return Terms(parse_budget(budget) if budget else None, parse_shard(shard) if shard else None, ray)


def _walk(
    name: str, overrides: list[str] | None, verb: str | None, terms: Mapping[str, Any] = MappingProxyType({})
) -> None:
    from cruxtune.pipeline import run as run_stages
    from cruxtune.pipeline import stages_of
    from cruxtune.recipe import load_recipe

    recipe = load_recipe(name, overrides or ())

    began = time.monotonic()
    steps = run_stages(recipe, (verb,) if verb else (), terms)
    try:
        results = _follow(steps, recipe.output_dir)
    except KeyboardInterrupt as interrupt:
        print(f"\ncruxtune: stopped. {_how_to_go_on(verb)}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from interrupt
    shard = verb is not None and verb in terms and terms[verb].shard
    is_stopped = not results[-1].is_usable or bool(shard and results[-1].note)
    if is_stopped:
        print("next: the same command")
        return
    num_made = sum(len(result.made) for result in results)
    if num_made and verb in (None, "report"):
        print_results(recipe)
    if verb in (None, "report"):
        print(f"\n{recipe.output_dir / 'report' / 'report.html'}")
    if verb is None and num_made == 0:
        print(f"nothing to do: {recipe.output_dir} is complete")
    elif verb is None:
        print(f"done in {duration(time.monotonic() - began)}, peak memory {peak_memory_gib():.1f} GiB")
    if shard:
        print(f"when all shards are there: cruxtune merge {shlex.join([name, *(overrides or ())])}")
        return
    print_next([name, *(overrides or ())], verb, stages_of(recipe))


def _how_to_go_on(verb: str | None) -> str:
    kept = "Finished parts are kept: the same command goes on"
    use = ", with --budget 0s it makes usable what an annotation has found out"
    return kept + (use if verb in (None, "annotate") else "") + "."


def _follow(steps: Any, output_dir: Path) -> list[Any]:
    """Print each stage as it is done; returns what they have to show."""
    results, since = [], time.monotonic()
    for step in steps:
        seconds = time.monotonic() - since
        made = len(step.result.made)
        results.append(step.result)
        print_step(step, seconds, output_dir)
        if made:
            log(output_dir, {"stage": step.verb, "seconds": round(seconds, 1), "directories": made})
        since = time.monotonic()
    return results
