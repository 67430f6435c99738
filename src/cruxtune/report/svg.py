"""One solution as a standalone SVG picture, for documents that cannot hold a page."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from cruxtune.records import Criticality
from cruxtune.report.content import ShownSolution, ShownToken

MARGIN = 28
LINE = 26
"""Distance of two lines of the solution, in pixels."""
CELL = 8.7
"""Width of one monospace character of 14.5 pixels."""
SANS = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Cell(NamedTuple):
    """One character of the solution and the critical token that it is of, if any."""

    character: str
    critical: int | None


def solution_svg(solution: ShownSolution, width: int = 860) -> str:
    """The question, the solution with its critical tokens marked, and a legend, on a ground of its own."""
    question = _wrapped(solution.question, int((width - 2 * MARGIN) / 8))
    lines = wrap(_cells(solution.tokens), int((width - 2 * MARGIN) / CELL))
    top = 84 + 22 * len(question)
    bottom = top + LINE * len(lines)
    parts = [
        *(_text(MARGIN, 62 + 22 * i, line, "question") for i, line in enumerate(question)),
        _text(MARGIN, 36, "Question", "label"),
        _text(MARGIN, top, "The model’s own solution", "label"),
        *(part for i, line in enumerate(lines) for part in _line(line, top + LINE * (i + 1))),
        *_legend(solution, bottom + 36),
    ]
    return _document(parts, width, bottom + 60)


def wrap(cells: Sequence[Cell], columns: int) -> list[list[Cell]]:
    """Lines of at most so many columns, broken at spaces; a word that is too long is cut."""
    lines: list[list[Cell]] = [[]]
    for is_space, group in groupby(cells, key=lambda cell: cell.character.isspace()):
        word = list(group)
        if not is_space and lines[-1] and _columns(lines[-1]) + _columns(word) > columns:
            lines.append([])
        for cell in word:
            is_full = _columns(lines[-1]) + _columns([cell]) > columns
            if cell.character == "\n" or (is_full and not is_space):
                lines.append([])
            if cell.character != "\n" and not (is_full and is_space):
                lines[-1].append(cell)
    return lines


def _cells(tokens: Sequence[ShownToken]) -> list[Cell]:
    """Marked whitespace is made visible; a marked line break is shown before it breaks the line."""
    return [
        Cell(character, index if token.criticality is Criticality.CRITICAL else None)
        for index, token in enumerate(tokens)
        for character in _visible(token)
    ]


def _visible(token: ShownToken) -> str:
    text = NOT_IN_XML.sub("\ufffd", token.text.replace("\r", "").replace("\t", "    "))
    if token.criticality is not Criticality.CRITICAL or text.strip():
        return text
    return text.replace(" ", "␣").replace("\n", "⏎\n")


def _columns(cells: Sequence[Cell]) -> int:
    return sum(2 if east_asian_width(cell.character) in "WF" else 1 for cell in cells)


def _line(cells: Sequence[Cell], y: int) -> Iterator[str]:
    """One line as runs of equal marking, each at its own place whatever the font's width."""
    column = 0
    for critical, group in groupby(cells, key=lambda cell: cell.critical):
        run = list(group)
        text = "".join(cell.character for cell in run)
        start = column + len(text) - len(text.lstrip())
        column += _columns(run)
        if text.strip():
            length = _columns(run) - (len(text) - len(text.strip()))
            yield from _run(text.strip(), MARGIN + CELL * start, y, CELL * length, critical is not None)


def _run(text: str, x: float, y: int, length: float, is_critical: bool) -> Iterator[str]:
    if is_critical:
        yield f'<rect class="mark" x="{x - 2:.1f}" y="{y - 15}" width="{length + 4:.1f}" height="20" rx="3"/>'
        yield f'<rect class="rule" x="{x - 2:.1f}" y="{y + 3}" width="{length + 4:.1f}" height="2.5"/>'
    yield _text(x, y, text, "critical" if is_critical else "token", f' textLength="{length:.1f}"')


def _legend(solution: ShownSolution, y: int) -> Iterator[str]:
    num_critical = sum(token.criticality is Criticality.CRITICAL for token in solution.tokens)
    yield from _run("critical", MARGIN + 2, y, 8 * CELL, is_critical=True)
    told = (
        f"{num_critical} of {len(solution.tokens)} tokens: write another likely token there, "
        f"and the model no longer arrives at {_shortened(solution.reference)}."
    )
    yield _text(MARGIN + 8 * CELL + 14, y, told, "legend")


def _shortened(text: str) -> str:
    return textwrap.shorten(text, 24, placeholder=" …")


def _wrapped(text: str, columns: int) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, columns)] or [""]


def _text(x: float, y: float, text: str, style: str, attributes: str = "") -> str:
    clean = escape(NOT_IN_XML.sub("\ufffd", text))
    return f'<text class="{style}" x="{x:.1f}" y="{y}"{attributes} xml:space="preserve">{clean}</text>'


def _document(parts: Sequence[str], width: int, height: int) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="A solution with its critical tokens marked">',
            f"<style>text {{ font: 15px {SANS}; fill: #1d2127 }} "
            ".label { font-size: 12.5px; fill: #5f6672 } "
            f".legend {{ font-size: 13.5px; fill: #5f6672 }} .token, .critical {{ font: 14.5px {MONO} }} "
            ".critical { font-weight: 700 } .mark { fill: #ffe0b2 } .rule { fill: #c2410c }</style>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10" fill="#fcfbf9" '
            'stroke="#d9d5cc"/>',
            *parts,
            "</svg>\n",
        ]
    )
