"""The runs of a sweep: one row a point of the grid, and the row that is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from cruxtune.evaluate import Estimate, mean_estimate
from cruxtune.report.results import Scores
from cruxtune.report.tables import percent

HEADERS = ("method", "settings", "seeds", "greedy", "cut off", "last loss", "chosen")
_SHOWN = ("method", "settings", "seeds", "greedy", "chosen")
MARK = "✓"


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One point of the grid, over its seeds."""

    method: str
    point: Mapping[str, Any]
    num_seeds: int
    num_problems: int
    accuracy: Estimate
    """Of greedy decoding, on the held-out problems."""
    truncated: float
    last_loss: float
    """Mean over the seeds."""
    is_chosen: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "TrialRow":
        return cls(**{**values, "accuracy": Estimate(**values["accuracy"])})


def make_row(method: str, point: Mapping[str, Any], scores: Scores, last_losses: Sequence[float]) -> TrialRow:
    num_seeds, num_problems = scores.greedy.shape
    return TrialRow(
        method=method,
        point=point,
        num_seeds=num_seeds,
        num_problems=num_problems,
        accuracy=mean_estimate(scores.greedy),
        truncated=scores.truncated,
        last_loss=sum(last_losses) / len(last_losses),
    )


def best_of(rows: Sequence[TrialRow]) -> TrialRow:
    """The highest accuracy; of equal ones the first, in the order of the grid."""
    return max(rows, key=lambda row: row.accuracy.value)


def rows_as_json(rows: Sequence[TrialRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def rows_as_markdown(rows: Sequence[TrialRow]) -> str:
    lines = [HEADERS, ["---"] * len(HEADERS), *map(_cells, rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    num_problems = rows[0].num_problems if rows else 0
    return f"# Sweep ({num_problems} held-out problems, percent ± standard error)\n\n{table}\n"


def rows_as_table(rows: Sequence[TrialRow]) -> Table:
    """For rich; narrow enough for 80 columns, so without all columns."""
    title = f"{rows[0].num_problems if rows else 0} held-out problems, percent ± standard error"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in _SHOWN:
        table.add_column(name, overflow="fold", justify="left" if name in _SHOWN[:2] else "right")
    for row in rows:
        cells = dict(zip(HEADERS, map(escape, _cells(row)), strict=True))
        table.add_row(*(cells[name] for name in _SHOWN), style="bold" if row.is_chosen else None)
    return table


def _cells(row: TrialRow) -> list[str]:
    return [
        row.method,
        ", ".join(f"{key} {value}" for key, value in row.point.items()),
        str(row.num_seeds),
        percent(row.accuracy),
        f"{100 * row.truncated:.1f} %",
        f"{row.last_loss:.3f}",
        MARK if row.is_chosen else "",
    ]
