"""Plan: what solving and annotation will cost, from a short probe. Nothing is written."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cruxtune.progress import Bar, duration, progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Rollout, Solution
from cruxtune.stages.costs import Cost, annotation_cost, solving_cost
from cruxtune.stages.evidence import wanted_solutions
from cruxtune.stages.forecast import Estimate
from cruxtune.stages.probe import Block, IsOver, Prober
from cruxtune.stages.resources import open_engine, open_verifier
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workload import Workload
from cruxtune.stages.workspace import Workspace
from cruxtune.store import is_complete

SOLVING_SHARE = 1 / 3
"""Of the probe, where solutions have yet to be made."""

MODES: dict[str, Callable[[Block], list[Rollout]]] = {
    "lazy": lambda block: block.lazy_rollouts,
    "eager": lambda block: block.rollouts,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the job will cost, and what that was estimated from."""

    solve: Cost | None
    """None where `solve/` is there."""
    annotate: dict[str, Cost]
    """By mode: lazy and eager."""
    num_solutions: Estimate
    mean_length: float
    formula_share: float
    """Measured tokens of an eager test over (k-1) T² / 2."""
    num_blocks: int
    num_rollouts: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """All numbers, for programs."""
        return asdict(self)

    def as_markdown(self, mode: str) -> str:
        """The same as a table, for people; `mode` is the recipe's."""
        rows = {"solve": self.solve} if self.solve else {}
        rows |= {f"annotate, {name}": cost for name, cost in self.annotate.items()}
        lines = [
            f"{_number(self.num_solutions)} solutions of {self.mean_length:.0f} tokens on average; "
            f"the probe tried {self.num_rollouts:,} rollouts in {self.seconds:.0f} s\n",
            "| | rollouts or solutions | tokens | time | disk |",
            "|---|---|---|---|---|",
        ]
        for name, cost in rows.items():
            what = f"**{name}**" if name == f"annotate, {mode}" else name
            lines.append(
                f"| {what} | {_number(cost.rollouts)} | {_number(cost.tokens)} | "
                f"{_time(cost.seconds)} | {_size(cost.megabytes.value)} |"
            )
        lines.append(
            f"\nEager, that is {self.formula_share:.2f} times (k-1) T²/2 tokens a solution. ± is a 95 % "
            "interval of the sample; times are this machine's, with this engine."
        )
        return "\n".join(lines)


def plan(recipe: Recipe, seconds: float = 30.0, seed: int = 0) -> Plan:
    """Probe for so many seconds and say what the whole job takes."""
    space = Workspace(recipe)
    problems = space.training_problems
    stored = wanted_solutions(space) if is_complete(space.path("solve"), solve_manifest(space)) else None
    engine = open_engine(recipe, space.model)
    with open_verifier(recipe) as verifier, progress_bar("plan", 1) as bar:
        prober = Prober(recipe, engine, verifier, problems, seed)
        return _probe(prober, stored, seconds, bar)


def _probe(prober: Prober, stored: list[Solution] | None, seconds: float, bar: Bar) -> Plan:
    began = time.monotonic()
    work, solving = _workload(prober, stored, _clock(began + seconds * SOLVING_SHARE), bar)
    sample = prober.annotate(work.solutions, _clock(began + seconds), bar)
    annotating = {
        mode: annotation_cost(work, sample, [rollouts_of(block) for block in sample.blocks])
        for mode, rollouts_of in MODES.items()
    }
    return Plan(
        solve=solving,
        annotate=annotating,
        num_solutions=work.num_solutions,
        mean_length=work.mean_length,
        formula_share=annotating["eager"].tokens.value / work.formula.value,
        num_blocks=len(sample.blocks),
        num_rollouts=sum(len(block.rollouts) for block in sample.blocks),
        seconds=time.monotonic() - began,
    )


def _workload(
    prober: Prober, stored: list[Solution] | None, is_over: IsOver, bar: Bar
) -> tuple[Workload, Cost | None]:
    """What there is to annotate, and what it costs to solve for it where that is not done."""
    if stored is not None:
        return Workload.of_stored(stored, prober.recipe.annotate.k), None
    tried, seconds = prober.solve(is_over, bar)
    work = Workload.of_sample(prober.recipe, tried, len(prober.problems))
    return work, solving_cost(prober.problems, tried, seconds)


def _clock(end: float) -> IsOver:
    return lambda: time.monotonic() >= end


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} {estimate.percent}" if estimate.error else f"{estimate.value:,.0f}"


def _time(estimate: Estimate) -> str:
    """To two figures."""
    return f"{duration(float(f'{estimate.value:.2g}'))} {estimate.percent}"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:,.1f} GB" if megabytes >= 1000 else f"{megabytes:,.2g} MB"
