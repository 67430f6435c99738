"""Rows of text as a table on the terminal and as Markdown."""

from collections.abc import Sequence

import rich.table

Row = Sequence[str]


def written(value: float | None, style: str, unit: str = "") -> str:
    """Nothing where nothing was measured."""
    return "" if value is None else f"{value:{style}}{unit}"


def to_terminal(title: str, headings: Row, rows: Sequence[Row]) -> rich.table.Table:
    drawn = rich.table.Table(title=title)
    for heading in headings:
        drawn.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def to_markdown(title: str, headings: Row, rows: Sequence[Row]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    body = "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
    return f"**{title}**\n\n{body}\n"
