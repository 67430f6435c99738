"""Curves as inline SVG that takes its ink from the page, so that it reads on light and dark.

The legend is the page's: no name from a recipe enters a figure.
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from cruxtune.report.colours import Stroke

MAX_POINTS = 200
"""A longer curve is shown as that many means of neighbouring steps."""
INK = "#010203"
"""Stands for the page's text colour until the figure is written."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cruxtune",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.major.size": 0,
    "lines.scale_dashes": False,
}


def pass_figure(name: str, curves: Mapping[str, Sequence[float]], strokes: Mapping[str, Stroke]) -> str:
    """Pass@1 to Pass@N of each method on one benchmark, N on a logarithmic axis."""
    most = max(len(curve) for curve in curves.values())
    with mpl.rc_context(STYLE):
        figure, axes = _empty("samples N", "Pass@N in percent")
        for method, curve in curves.items():
            numbers, percents = range(1, len(curve) + 1), [100 * value for value in curve]
            axes.plot(numbers, percents, marker="o", markersize=3.2, lw=1.8, **_look(strokes[method]))
        axes.set_xscale("log", base=2)
        axes.set_xlim(0.93, 1.08 * max(most, 2))
        axes.xaxis.set_major_locator(FixedLocator([2.0**i for i in range(most.bit_length())]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(ScalarFormatter())
        return _svg(figure, name)


def loss_figure(name: str, runs: Mapping[str, Sequence[float]], strokes: Mapping[str, Stroke]) -> str:
    """Training loss of each method: its seeds thin, their mean thick."""
    with mpl.rc_context(STYLE):
        figure, axes = _empty("optimizer step", "training loss")
        for method, seeds in by_method(runs).items():
            look = _look(strokes[method])
            for seed in seeds if len(seeds) > 1 else []:
                axes.plot(*_condensed(seed), lw=0.7, alpha=0.35, color=look["color"])
            axes.plot(*_condensed(_mean(seeds)), lw=2.0, **look)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return _svg(figure, name)


def by_method(runs: Mapping[str, Sequence[float]]) -> dict[str, list[Sequence[float]]]:
    """The loss curves of each method, one a seed; a run without a single step is left out.

    >>> by_method({"cft-seed0": [2.0], "cft-seed1": [1.0], "sft-seed0": []})
    {'cft': [[2.0], [1.0]]}
    """
    methods: dict[str, list[Sequence[float]]] = {}
    for run, losses in runs.items():
        if losses:
            methods.setdefault(run.rpartition("-seed")[0] or run, []).append(losses)
    return methods


def _mean(seeds: Sequence[Sequence[float]]) -> list[float]:
    """Over the steps that every seed reached."""
    return [float(np.mean(step)) for step in zip(*seeds, strict=False)]


def _condensed(losses: Sequence[float]) -> tuple[list[float], list[float]]:
    """Steps and losses, in at most MAX_POINTS blocks; steps count from 1."""
    blocks = np.array_split(np.arange(len(losses)), min(len(losses), MAX_POINTS))
    values = np.asarray(losses, dtype=float)
    return [float(block.mean()) + 1 for block in blocks], [float(values[block].mean()) for block in blocks]


def _look(stroke: Stroke) -> dict[str, Any]:
    numbers = [float(part) for part in stroke.dashes.split()]
    return {"color": stroke.colour, "linestyle": (0, numbers) if numbers else "-"}


def _empty(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.3), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.margins(y=0.08)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The figure's ids begin with its name, because a page holds several figures."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return svg.replace(INK, "currentColor").strip()
