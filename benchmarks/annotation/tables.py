"""What was measured, as a table on the terminal, as Markdown and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import rich.table

import measuring.tables
from annotation.agreement import Agreement
from annotation.job import K, Outcome
from annotation.methods import METHODS
from measuring.tables import written

HEADINGS = (
    "",
    "seconds",
    "against the batched scheme",
    "rollouts",
    "rollout tokens a second",
    "tokens through the model",
    "peak GiB",
)


@dataclass(frozen=True)
class Table:
    """All methods on the same solutions and model."""

    shape: str
    num_parameters: int
    lengths: Sequence[int]
    """Of the solutions, in tokens."""
    limit: int
    outcomes: Mapping[str, Outcome]
    agreements: Sequence[Agreement]

    @property
    def title(self) -> str:
        return (
            f"{len(self.lengths)} solutions of {min(self.lengths)}-{max(self.lengths)} tokens, k = {K}, "
            f"rollouts of at most {self.limit} tokens; "
            f"{self.shape}, {self.num_parameters / 1e6:.2f} M parameters"
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [self._row(method, outcome) for method, outcome in self.outcomes.items()]

    def speed_up(self, outcome: Outcome) -> float | None:
        """Against the batched scheme; None where that wasn't measured."""
        return self.outcomes["batched"].seconds / outcome.seconds if "batched" in self.outcomes else None

    def _row(self, method: str, outcome: Outcome) -> tuple[str, ...]:
        error = "" if outcome.seconds_error is None else f" ± {outcome.seconds_error:.1f}"
        return (
            name_of(method, outcome),
            f"{outcome.seconds:.1f}{error}",
            written(self.speed_up(outcome), ".1f", "×"),
            f"{outcome.rollouts:,}",
            f"{outcome.rollout_tokens / outcome.seconds:,.0f}",
            written(outcome.forward_tokens, ","),
            written(outcome.peak_gib, ".2f"),
        )


def name_of(method: str, outcome: Outcome) -> str:
    """With the size of the sample, where there is one."""
    measured = len(outcome.completions)
    sample = "" if measured == outcome.rollouts else f"; {measured} branches, scaled up"
    return METHODS[method] + sample


def to_terminal(table: Table) -> rich.table.Table:
    return measuring.tables.to_terminal(table.title, HEADINGS, table.rows)


def to_markdown(table: Table) -> str:
    agreements = "\n".join(f"- {agreement}" for agreement in table.agreements)
    return f"{measuring.tables.to_markdown(table.title, HEADINGS, table.rows)}\n{agreements}\n"


def to_numbers(table: Table) -> dict[str, Any]:
    """All that is known but the texts and labels themselves."""
    return {
        "shape": table.shape,
        "num_parameters": table.num_parameters,
        "lengths": list(table.lengths),
        "limit": table.limit,
        "k": K,
        "methods": [
            {
                **asdict(agreement),
                "measured": len(outcome.completions),
                "speed_up": table.speed_up(outcome),
                **{k: v for k, v in asdict(outcome).items() if k not in ("labels", "completions")},
            }
            for agreement, outcome in zip(table.agreements, table.outcomes.values(), strict=True)
        ],
    }
