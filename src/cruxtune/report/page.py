"""The report as one HTML file that works offline.

Model output is untrusted: jinja2 escapes every value, the evidence is JSON that the script shows as text
only, and a content security policy allows no other script and no request to anywhere.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from cruxtune.evaluate import Estimate
from cruxtune.records import Criticality, Verdict
from cruxtune.report.colours import Stroke, strokes
from cruxtune.report.content import Content, ShownSolution, ShownToken
from cruxtune.report.figures import by_method, loss_figure, pass_figure
from cruxtune.report.tables import percent

NUM_ERRORS = 2
"""A gain of at least this many standard errors counts as a finding."""
CLASSES = {
    Criticality.CRITICAL: "critical",
    Criticality.NOT_CRITICAL: "",
    Criticality.UNTESTED: "untested",
}


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A drawing with the words around it."""

    title: str
    svg: str
    strokes: Mapping[str, Stroke]
    """The legend."""
    note: str


def render_page(content: Content) -> str:
    """The whole page; equal content gives equal bytes."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "digest": _digest,
        "percent": percent,
        "spoken": spoken,
        "lead": _lead,
        "body": _body,
    }
    environment.tests |= {"finding": is_finding, "critical": _is_critical}
    template = environment.from_string(
        files("cruxtune.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        content=content,
        figures=_figures(content),
        evidence=[[_evidence(token) for token in solution.tokens] for solution in content.solutions],
        classes=CLASSES,
        num_critical=_num_critical,
    )


def is_finding(gain: Estimate | None) -> bool:
    """Whether a gain, or a loss, stands out of its noise."""
    return gain is not None and abs(gain.value) >= NUM_ERRORS * gain.standard_error and gain.value != 0


def spoken(token: ShownToken) -> str:
    """What a screen reader says of a token whose state colour alone would tell."""
    text = token.text.strip() or ("line break" if "\n" in token.text else "space")
    return f"{token.criticality.value.replace('_', ' ')} token: {text}"


def _num_critical(solution: ShownSolution) -> int:
    return sum(_is_critical(token) for token in solution.tokens)


def _is_critical(token: ShownToken) -> bool:
    return token.criticality is Criticality.CRITICAL


def _body(text: str) -> str:
    """What a mark covers: a token without its leading space, or all of one that is only space."""
    return text.lstrip() or text


def _lead(text: str) -> str:
    return text.removesuffix(_body(text))


def _evidence(token: ShownToken) -> list[Any]:
    """One token in the page's JSON: all but its text, which the page holds already."""
    alternatives = [
        [
            item.rank,
            item.text,
            round(item.probability, 5),
            item.continuation,
            item.answer,
            _says(item.verdict),
        ]
        for item in token.alternatives
    ]
    return [round(token.probability, 5), round(token.entropy, 4), alternatives]


def _says(verdict: Verdict) -> str:
    return "cut off" if verdict is Verdict.TRUNCATED else verdict.value.replace("_", " ")


def _digest(script: str) -> str:
    """The hash by which the content security policy knows the page's own script."""
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()


def _figures(content: Content) -> list[ShownFigure]:
    runs = {run: losses for run, losses in content.loss_curves.items() if losses}
    rows = [row.method for rows in content.rows.values() for row in rows]
    looks = strokes([*rows, *by_method(runs)])
    figures = [
        ShownFigure(
            title=f"Pass@N on {benchmark}",
            svg=pass_figure(f"pass{index}", curves, looks),
            strokes={method: looks[method] for method in curves},
            note="Probability that at least one of N samples is right: mean over problems and seeds.",
        )
        for index, (benchmark, curves) in enumerate(_drawable(content).items())
    ]
    return figures + _loss_figures(runs, looks)


def _drawable(content: Content) -> dict[str, dict[str, Sequence[float]]]:
    """The Pass@N curves that have a point; none where nothing was sampled."""
    drawable = {
        benchmark: {method: curve for method, curve in curves.items() if curve}
        for benchmark, curves in content.pass_curves.items()
    }
    return {benchmark: curves for benchmark, curves in drawable.items() if curves}


def _loss_figures(runs: Mapping[str, Sequence[float]], looks: Mapping[str, Stroke]) -> list[ShownFigure]:
    if not runs:
        return []
    note = (
        "Single seeds thin, their mean thick. Each loss is the mean over the tokens that its method trains "
        "on, so compare the course of two methods, not their height."
    )
    legend = {method: looks[method] for method in by_method(runs)}
    return [ShownFigure("Training loss", loss_figure("loss", runs, looks), legend, note)]
