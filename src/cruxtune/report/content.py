"""All that the page shows, as plain values: filled by the stage, drawn by `page`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cruxtune.records import Criticality, Verdict
from cruxtune.report.results import MethodRow


@dataclass(frozen=True, slots=True)
class ShownAlternative:
    """One counterfactual: what could have stood there, and what became of the answer."""

    rank: int
    text: str
    """Of the alternative token itself."""
    probability: float
    continuation: str
    """The alternative and all that the model wrote after it."""
    answer: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ShownToken:
    """One token of a solution."""

    text: str
    criticality: Criticality
    probability: float
    entropy: float
    alternatives: tuple[ShownAlternative, ...]


@dataclass(frozen=True, slots=True)
class ShownSolution:
    """One correct solution with the evidence on its tokens."""

    id: str
    question: str
    reference: str
    tokens: tuple[ShownToken, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A whole report. Model output in it is untrusted text."""

    title: str
    facts: Sequence[tuple[str, str]]
    """Name and value of the numbers that describe the run: model, solved, critical share, …"""
    baseline: str
    """The method that gains are measured against."""
    num_samples: int
    rows: Mapping[str, Sequence[MethodRow]]
    """By benchmark, base model first."""
    shares: Mapping[str, float]
    """Share of the completion tokens that a method trains on."""
    pass_curves: Mapping[str, Mapping[str, Sequence[float]]]
    """By benchmark and method: Pass@1, Pass@2, …, means over seeds."""
    loss_curves: Mapping[str, Sequence[float]]
    """By run (`cft-seed0`): the loss at each optimizer step."""
    selections: Sequence[tuple[str, int, int, float]]
    """Name, selected tokens, all tokens, sum of weights."""
    solutions: Sequence[ShownSolution]
    recipe: str
    """The resolved recipe as JSON."""
