"""The verbs that are stages, and their walk."""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from cruxtune.cli.application import (
    Budget,
    Overrides,
    RayOption,
    RecipeArgument,
    ShardOption,
    WorkersOption,
    app,
)
from cruxtune.cli.printing import log, peak_memory_gib, print_next, print_results, print_step, print_trials
from cruxtune.progress import duration

INTERRUPTED = 130
SPREAD = ("solve", "sample", "annotate", "evaluate")
"""The verbs that take a budget, a shard or a cluster."""


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Walk all stages, from problems to the report; what is there already is not made again.

    A budget is for the annotation; the stages after it work on what it found out.
    """
    terms = {verb: _terms(budget if verb == "annotate" else None, None, workers, ray) for verb in SPREAD}
    _walk(recipe, overrides, None, terms)


@app.command()
def solve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Write a greedy solution of every training problem, with its verdict."""
    _walk(recipe, overrides, "solve", {"solve": _terms(budget, shard, workers, ray)})


@app.command()
def sample(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Sample the problems that greedy decoding missed until one try is right."""
    _walk(recipe, overrides, "sample", {"sample": _terms(budget, shard, workers, ray)})


@app.command()
def annotate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    budget: Budget = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Replace every token of every correct solution, continue, verify; store the evidence."""
    _walk(recipe, overrides, "annotate", {"annotate": _terms(budget, shard, workers, ray)})


@app.command()
def gather(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Verify the solutions of others under [solutions] and write them as the model's tokens."""
    _walk(recipe, overrides, "gather")


@app.command()
def score(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Ask a model for what selections rank tokens by: attention, probabilities in another model."""
    _walk(recipe, overrides, "score")


@app.command()
def select(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Turn the evidence into loss weights, one set a rule."""
    _walk(recipe, overrides, "select")


@app.command()
def sweep(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Try settings of training for each method, and choose on problems that are held out."""
    _walk(recipe, overrides, "sweep")


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
    workers: WorkersOption = None,
    ray: RayOption = False,
) -> None:
    """Let the base model and every checkpoint answer the benchmarks."""
    _walk(recipe, overrides, "evaluate", {"evaluate": _terms(budget, shard, workers, ray)})


@app.command()
def report(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Write the tables and the page from what the other stages wrote."""
    _walk(recipe, overrides, "report")


def _terms(budget: str | None, shard: str | None, workers: int | None, ray: bool) -> Any:
    from cruxtune.errors import RecipeError
    from cruxtune.stages.terms import Terms, parse_budget, parse_shard

    if ray and (shard or workers):
        other = "--shard" if shard else "--workers"
        raise RecipeError(f"{other} and --ray are two ways to spread the work: choose one")
    return Terms(
        parse_budget(budget) if budget else None, parse_shard(shard) if shard else None, workers, ray
    )


def _walk(
    name: str, overrides: list[str] | None, verb: str | None, terms: Mapping[str, Any] = MappingProxyType({})
) -> None:
    from cruxtune.pipeline import run as run_stages
    from cruxtune.pipeline import stages_of
    from cruxtune.recipe import load_recipe

    recipe = load_recipe(name, overrides or ())
    arguments = [name, *(overrides or ())]
    began = time.monotonic()
    steps = run_stages(recipe, (verb,) if verb else (), terms)
    results = _follow_until_stopped(steps, recipe.output_dir, verb)
    shard = bool(verb and verb in terms and terms[verb].shard)
    if not results[-1].is_usable or (shard and results[-1].note):
        print("next: the same command")
        return
    _sum_up(recipe, verb, sum(len(result.made) for result in results), time.monotonic() - began)
    if shard:
        print(f"when all shards are there: cruxtune merge {shlex.join(arguments)}")
    else:
        print_next(arguments, verb, stages_of(recipe))


def _follow_until_stopped(steps: Any, output_dir: Path, verb: str | None) -> list[Any]:
    try:
        return _follow(steps, output_dir)
    except KeyboardInterrupt as interrupt:
        print(f"\ncruxtune: stopped. {_how_to_go_on(verb)}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from interrupt


def _sum_up(recipe: Any, verb: str | None, num_made: int, seconds: float) -> None:
    """What a sweep, a run or a report ends with: results, where the page is, what it took."""
    if verb == "sweep":
        print_trials(recipe)
    if verb not in (None, "report"):
        return
    if num_made:
        print_results(recipe)
    print(f"\n{recipe.output_dir / 'report' / 'report.html'}")
    if verb is None and num_made == 0:
        print(f"nothing to do: {recipe.output_dir} is complete")
    elif verb is None:
        print(f"done in {duration(seconds)}, peak memory {peak_memory_gib():.1f} GiB")


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
