"""The command line: parses, calls, prints. torch is imported only inside a command that needs it."""

import json
import logging
import os
import resource
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cruxtune import __version__
from cruxtune.errors import CruxtuneError, RecipeError

app = typer.Typer(
    name="cruxtune",
    help="Find the critical tokens of a model's own correct solutions, and fine-tune on those alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

RecipeArgument = Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that ships: tiny.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings over those of the recipe, as section.key=value.")
]

INTERRUPTED = 130


def main() -> None:
    """Run the command line; mistakes of the user are one line, bugs keep their traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="cruxtune: %(message)s")
    try:
        app()
    except CruxtuneError as error:
        print(f"cruxtune: error: {error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        print(f"cruxtune {__version__}")
        raise typer.Exit


@app.command()
def run(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Walk all stages, from problems to the report; what is there already is not made again."""
    _walk(recipe, overrides, None)


@app.command()
def solve(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Write a greedy solution of every training problem, with its verdict."""
    _walk(recipe, overrides, "solve")


@app.command()
def annotate(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Replace every token of every correct solution, continue, verify; store the evidence."""
    _walk(recipe, overrides, "annotate")


@app.command()
def select(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Turn the evidence into loss weights, one set a rule."""
    _walk(recipe, overrides, "select")


@app.command()
def train(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Fine-tune the base model on each set of weights with each seed."""
    _walk(recipe, overrides, "train")


@app.command()
def evaluate(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Let the base model and every checkpoint answer the benchmarks."""
    _walk(recipe, overrides, "evaluate")


@app.command()
def report(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Write the tables and the page from what the other stages wrote."""
    _walk(recipe, overrides, "report")


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("recipe.toml")) -> None:
    """Write a commented recipe to start from."""
    template = (Path(__file__).parent / "recipe" / "template.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError as error:
        raise RecipeError(f"{path} exists already: choose another name") from error
    except OSError as error:
        raise RecipeError(f"can't write {path}: {error.strerror}") from error
    print(f"{path}\nnext: edit it, then  cruxtune run {path}")


def _walk(name: str, overrides: list[str] | None, verb: str | None) -> None:
    from cruxtune.pipeline import STAGES
    from cruxtune.pipeline import run as run_stages
    from cruxtune.recipe import load_recipe

    recipe = load_recipe(name, overrides or ())

    began = time.monotonic()
    steps = run_stages(recipe, (verb,) if verb else tuple(STAGES))
    try:
        num_made = _follow(steps, recipe.output_dir)
    except KeyboardInterrupt as interrupt:
        print("\ncruxtune: stopped. Finished parts are kept: the same command goes on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from interrupt
    if num_made and verb in (None, "report"):
        _print_results(recipe)
    if verb in (None, "report"):
        print(f"\n{recipe.output_dir / 'report' / 'report.html'}")
    if verb is None and num_made == 0:
        print(f"nothing to do: {recipe.output_dir} is complete")
    elif verb is None:
        print(f"done in {_duration(time.monotonic() - began)}, peak memory {_peak_memory_gib():.1f} GiB")
    _print_next([name, *(overrides or ())], verb, list(STAGES))


def _follow(steps: Any, output_dir: Path) -> int:
    """Print each stage as it is done; returns how many directories were made."""
    num_made, since = 0, time.monotonic()
    for step in steps:
        seconds = time.monotonic() - since
        made = len(step.result.made)
        num_made += made
        _print_step(step, seconds, output_dir)
        if made:
            _log(output_dir, {"stage": step.verb, "seconds": round(seconds, 1), "directories": made})
        since = time.monotonic()
    return num_made


def _print_step(step: Any, seconds: float, output_dir: Path) -> None:
    from cruxtune.store import read_manifest

    made, directories = step.result.made, step.result.directories
    how = _duration(seconds) if made else "was done already" if directories else "nothing is asked for"
    where = (
        directories[0]
        if len(directories) == 1
        else f"{output_dir / step.verb} ({len(directories)} directories)"
    )
    console.print(f"[bold]{step.verb:<9}[/bold] {escape(str(where))}  {how}", highlight=False, soft_wrap=True)
    if len(directories) == 1 and made:
        counts = read_manifest(directories[0]).counts
        print("          " + ", ".join(f"{key} {value:.4g}" for key, value in counts.items() if value))


def _print_results(recipe: Any) -> None:
    from cruxtune.report.tables import terminal_table
    from cruxtune.stages.report import baseline_of, read_rows, read_shares
    from cruxtune.stages.workspace import Workspace

    space = Workspace(recipe)
    shares, baseline = read_shares(space), baseline_of(recipe)
    for rows in read_rows(space).values():
        console.print()
        console.print(terminal_table(rows, shares, baseline, recipe.evaluate.num_samples))


def _print_next(arguments: list[str], verb: str | None, verbs: list[str]) -> None:
    if verb is not None and verb != verbs[-1]:
        print(f"next: cruxtune {verbs[verbs.index(verb) + 1]} {shlex.join(arguments)}")


def _log(output_dir: Path, entry: dict[str, Any]) -> None:
    """Times are kept beside the artifacts, not in them: equal runs have equal artifacts."""
    entry |= {
        "peak_memory_gib": round(_peak_memory_gib(), 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    try:
        with (output_dir / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        logging.warning("the time of this stage is not in log.jsonl: %s", error.strerror)


def _peak_memory_gib() -> float:
    """Of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    main()
