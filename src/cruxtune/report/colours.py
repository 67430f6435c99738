"""The look of each method's line, the same in every figure and legend."""

from collections.abc import Iterable
from typing import NamedTuple

PALETTE = ("#8b919b", "#3a86c8", "#d9622b", "#2b9d77", "#a76fd0", "#b98a1d", "#cf5f93")
"""Grey for the base model, then hues that differ for colour-blind readers too.

Each one has a contrast of at least 3 to 1 against the light and against the dark page.
"""
DASHES = ("2 2", "7 3", "", "9 3 2 3")


class Stroke(NamedTuple):
    """A line's colour and dash pattern, as SVG attributes."""

    colour: str
    dashes: str


def strokes(methods: Iterable[str]) -> dict[str, Stroke]:
    """A stroke for each method, in the order of their first mention; neighbours differ in both."""
    names = list(dict.fromkeys(methods))
    return {name: _stroke(index) for index, name in enumerate(names)}


def _stroke(index: int) -> Stroke:
    turn, hue = divmod(index, len(PALETTE))
    return Stroke(PALETTE[hue], DASHES[(hue + turn) % len(DASHES)])
