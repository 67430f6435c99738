"""What was measured, as rows of a table and as numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from measuring.tables import written
from training.job import METHODS, Job, Outcome

BASIS = "chunked_nll"
HEADINGS = (
    "",
    "seconds a step",
    f"against `{BASIS}`",
    "peak GiB",
    "of it for training",
    "loss of the first step",
)
TOLERANCE = 1e-3
"""Relative: losses of the first step that differ by more are not of the same objective."""
TOLERANCE_BF16 = 1e-2


@dataclass(frozen=True)
class Table:
    """All trainers on the same model and data."""

    job: Job
    outcomes: Mapping[str, Outcome]

    @property
    def title(self) -> str:
        job = self.job
        return (
            f"steps of {job.batch} sequences ({job.micro_batch} at a time) of {job.length} tokens, "
            f"{100 * job.share:g} % of them weighted; vocabulary {job.vocabulary:,}, "
            f"{job.layers} layers of width {job.hidden}"
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [self._row(method, outcome) for method, outcome in self.outcomes.items()]

    @property
    def numbers(self) -> dict[str, Any]:
        methods = [
            {"method": method, "speed_up": self.speed_up(outcome), **asdict(outcome)}
            for method, outcome in self.outcomes.items()
        ]
        return {**{k: v for k, v in asdict(self.job).items() if k != "method"}, "methods": methods}

    @property
    def differing(self) -> list[str]:
        """Methods whose loss is not that of the first one."""
        first = next(outcome.losses[0] for outcome in self.outcomes.values())
        tolerance = TOLERANCE_BF16 if self.job.bf16 else TOLERANCE
        return [
            method
            for method, outcome in self.outcomes.items()
            if abs(outcome.losses[0] - first) > tolerance * abs(first)
        ]

    def speed_up(self, outcome: Outcome) -> float | None:
        """None where the basis wasn't measured."""
        basis = self.outcomes.get(BASIS)
        return median(basis.seconds) / median(outcome.seconds) if basis else None

    def _row(self, method: str, outcome: Outcome) -> tuple[str, ...]:
        spread = (max(outcome.seconds) - min(outcome.seconds)) / 2
        return (
            METHODS[method],
            f"{median(outcome.seconds):.2f} ± {spread:.2f}",
            written(self.speed_up(outcome), ".2f", "×"),
            written(outcome.peak_gib, ".2f"),
            written(outcome.training_gib, ".2f"),
            f"{outcome.losses[0]:.5f}",
        )
