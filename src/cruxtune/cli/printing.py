"""What commands print of stages, results and times, and what they log."""

import json
import logging
import resource
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cruxtune.progress import duration

console = Console()


def print_step(step: Any, seconds: float, output_dir: Path) -> None:
    """Where a stage is, how long it took, and what it counted."""
    from cruxtune.store import Manifest

    made, directories = step.result.made, step.result.directories
    how = (
        duration(seconds)
        if made or step.result.note
        else "was done already"
        if directories
        else "nothing is asked for"
    )
    where = (
        directories[0]
        if len(directories) == 1
        else f"{output_dir / step.verb} ({len(directories)} directories)"
    )
    console.print(f"[bold]{step.verb:<9}[/bold] {escape(str(where))}  {how}", highlight=False, soft_wrap=True)
    if len(directories) == 1 and made:
        manifest = Manifest.read(directories[0])
        counts = manifest.counts if manifest else {}
        print("          " + ", ".join(f"{key} {value:.4g}" for key, value in counts.items() if value))
    if step.result.note:
        print(f"          {step.result.note}")


def print_results(recipe: Any) -> None:
    """The tables of a report."""
    from cruxtune.report.tables import terminal_table
    from cruxtune.stages.facts import read_method_shares
    from cruxtune.stages.results import baseline_of, read_rows
    from cruxtune.stages.workspace import Workspace

    space = Workspace(recipe)
    shares, baseline = read_method_shares(space), baseline_of(recipe)
    for rows in read_rows(space).values():
        console.print()
        console.print(terminal_table(rows, shares, baseline, recipe.evaluate.num_samples))


def print_trials(recipe: Any) -> None:
    """All runs of a sweep."""
    from cruxtune.report.trials import rows_as_table
    from cruxtune.stages.sweep import read_trials

    console.print(rows_as_table(read_trials(recipe)))
    print(recipe.output_dir / "sweep" / "sweep.md")


def print_next(arguments: Sequence[str], verb: str | None, verbs: Sequence[str]) -> None:
    """The command that comes after a stage's."""
    if verb is not None and verb in verbs[:-1]:
        print(f"next: cruxtune {verbs[verbs.index(verb) + 1]} {shlex.join(arguments)}")


def log(output_dir: Path, entry: dict[str, Any]) -> None:
    """Times are kept beside the artifacts, not in them: equal runs have equal artifacts."""
    entry |= {
        "peak_memory_gib": round(peak_memory_gib(), 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    try:
        with (output_dir / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    except OSError as error:
        logging.warning("the time of this stage is not in log.jsonl: %s", error.strerror)


def peak_memory_gib() -> float:
    """Of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
