"""Rows as text tables: for the terminal, and as Markdown for documents."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from cruxtune.evaluate import Estimate
from cruxtune.report.results import MethodRow


def percent(estimate: Estimate | None, is_signed: bool = False) -> str:
    """`61.3 ± 1.2`, in percent, with the standard error; a dash where there is nothing."""
    if estimate is None:
        return "–"
    sign = "+" if is_signed else ""
    return f"{100 * estimate.value:{sign}.1f} ± {100 * estimate.standard_error:.1f}"


def terminal_table(
    rows: Sequence[MethodRow], shares: Mapping[str, float], baseline: str, num_samples: int
) -> Table:
    """One benchmark as a table for rich; narrow enough for 80 columns, so without the last two columns."""
    first = rows[0]
    num_seeds = max(row.num_seeds for row in rows)
    title = f"{first.benchmark}: {first.num_problems} problems, seeds: {num_seeds}, percent ± standard error"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    for name in _headers(baseline, num_samples)[:-2]:
        short = name.removeprefix("greedy ").removeprefix("Pass@1 ") or name
        is_left = name == "method"
        table.add_column(escape(short), justify="left" if is_left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell.replace(" ", "")) for cell in _cells(row, shares, num_samples)[:-2]))
    return table


def markdown_table(
    rows: Sequence[MethodRow], shares: Mapping[str, float], baseline: str, num_samples: int
) -> str:
    """One benchmark as a Markdown table."""
    headers = _headers(baseline, num_samples)
    lines = [headers, ["---"] * len(headers), *(_cells(row, shares, num_samples) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _headers(baseline: str, num_samples: int) -> list[str]:
    sampled = ["Pass@1", f"Pass@1 − {baseline}", f"Pass@{num_samples}"] if num_samples else []
    return ["method", "tokens", "greedy", f"greedy − {baseline}", *sampled, "no answer", "cut off"]


def _cells(row: MethodRow, shares: Mapping[str, float], num_samples: int) -> list[str]:
    share = shares.get(row.method)
    sampled = (percent(row.sampled), percent(row.sampled_gain, is_signed=True), percent(row.pass_at_most))
    return [
        row.method,
        "–" if share is None else f"{100 * share:.1f} %",
        percent(row.greedy),
        percent(row.gain, is_signed=True),
        *(sampled if num_samples else ()),
        f"{100 * row.no_answer:.1f} %",
        f"{100 * row.truncated:.1f} %",
    ]
