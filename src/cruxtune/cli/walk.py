"""The walk through stages, as the terminal shows it."""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from cruxtune.cli.printing import log, peak_memory_gib, print_next, print_results, print_step, print_trials
from cruxtune.progress import duration

INTERRUPTED = 130


def terms_of(budget: str | None, shard: str | None, workers: int | None, ray: bool) -> Any:
    """How a stage is run, from the options."""
    from cruxtune.errors import RecipeError
    from cruxtune.stages.terms import Terms, parse_budget, parse_shard

    if ray and (shard or workers):
        other = "--shard" if shard else "--workers"
        raise RecipeError(f"{other} and --ray are two ways to spread the work: choose one")
    return Terms(
        parse_budget(budget) if budget else None, parse_shard(shard) if shard else None, workers, ray
    )


def walk(
    name: str, overrides: list[str] | None, verb: str | None, terms: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Do one stage, or all, and say what came of it and what comes next."""
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
