"""Plan: what solving and annotation will cost, from a short probe. Nothing is written."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cruxtune.errors import ArtifactError
from cruxtune.progress import Bar, duration, progress_bar
from cruxtune.recipe import Recipe
from cruxtune.records import Position, Problem, Rollout, Solution, Verdict
from cruxtune.stages.evidence import wanted_solutions
from cruxtune.stages.forecast import Estimate, formula_tokens, mean, ratio, total_of_some
from cruxtune.stages.probe import Block, Prober, Sample
from cruxtune.stages.resources import open_engine, open_verifier
from cruxtune.stages.solve import solve_manifest
from cruxtune.stages.workspace import Workspace
from cruxtune.store import is_complete
from cruxtune.store.files import write_parquet
from cruxtune.store.schema import to_table

SOLVING_SHARE = 1 / 3
"""Of the probe, where solutions have yet to be made."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage takes."""

    rollouts: Estimate
    """Or solutions."""
    tokens: Estimate
    seconds: Estimate
    megabytes: Estimate


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
    problems = space.problems(recipe.problems)
    stored = wanted_solutions(space) if is_complete(space.path("solve"), solve_manifest(space)) else None
    engine = open_engine(recipe, space.model)
    with open_verifier(recipe) as verifier, progress_bar("plan", 1) as bar:
        prober = Prober(recipe, engine, verifier, problems, seed)
        return _probe(prober, stored, seconds, bar)


def _probe(prober: Prober, stored: list[Solution] | None, seconds: float, bar: Bar) -> Plan:
    began = time.monotonic()
    if stored is not None:
        job = Job.of_stored(stored, prober.recipe.annotate.k)
        cost = None
    else:
        tried, taken = prober.solve(_clock(began + seconds * SOLVING_SHARE), bar)
        job, cost = (
            Job.of_sample(prober.recipe, tried, len(prober.problems)),
            _solving_cost(prober, tried, taken),
        )
    sample = prober.annotate(job.solutions, _clock(began + seconds), bar)
    costs = {
        mode: annotation_cost(job, sample, [rollouts_of(block) for block in sample.blocks])
        for mode, rollouts_of in MODES.items()
    }
    rollouts = [rollout for block in sample.blocks for rollout in block.rollouts]
    return Plan(
        cost,
        costs,
        job.num_solutions,
        sum(len(s.completion.token_ids) for s in job.solutions) / len(job.solutions),
        costs["eager"].tokens.value / job.formula.value,
        len(sample.blocks),
        len(rollouts),
        time.monotonic() - began,
    )


MODES: dict[str, Callable[[Block], list[Rollout]]] = {
    "lazy": lambda block: block.lazy_rollouts,
    "eager": lambda block: block.rollouts,
}


@dataclass(frozen=True, slots=True)
class Job:
    """How much there is to annotate."""

    k: int
    solutions: list[Solution]
    """Known ones, to draw positions from."""
    is_known: bool
    """Whether the known ones are all."""
    num_solutions: Estimate
    num_positions: Estimate
    formula: Estimate
    """(k-1) T² / 2, over all solutions."""

    @classmethod
    def of_stored(cls, solutions: list[Solution], k: int) -> "Job":
        """All of it is known."""
        lengths = [len(solution.completion.token_ids) for solution in solutions]
        formula = sum(formula_tokens(length, k) for length in lengths)
        amounts = (Estimate(float(amount)) for amount in (len(lengths), sum(lengths), formula))
        return cls(k, solutions, True, *amounts)

    @classmethod
    def of_sample(cls, recipe: Recipe, tried: Sequence[Solution], num_problems: int) -> "Job":
        """As much as random problems let expect."""
        right = [solution for solution in tried if solution.grade.verdict is Verdict.CORRECT]
        if not right:
            raise ArtifactError(
                f"none of {len(tried)} sampled problems is solved: give --seconds more, or check "
                "prompt.template and solve.max_new_tokens"
            )
        k, most = recipe.annotate.k, recipe.annotate.num_solutions
        measures = (lambda length: 1.0, float, lambda length: formula_tokens(length, k))
        amounts = (_total(tried, measure, num_problems, most) for measure in measures)
        return cls(k, right, False, *amounts)


def _total(
    tried: Sequence[Solution], measure: Callable[[int], float], num_problems: int, most: int | None
) -> Estimate:
    """The sum of a measure of lengths over all right solutions, or over `most` of them."""
    lengths = [len(s.completion.token_ids) if s.grade.verdict is Verdict.CORRECT else 0 for s in tried]
    right = [measure(length) for length in lengths if length]
    if most is not None and most < num_problems * len(right) / len(tried):
        return total_of_some(right, most)
    return mean([measure(length) if length else 0.0 for length in lengths], num_problems) * num_problems


def _solving_cost(prober: Prober, tried: Sequence[Solution], seconds: float) -> Cost:
    num_all = len(prober.problems)
    tokens = mean([float(len(s.completion.token_ids)) for s in tried], num_all) * num_all
    size = _bytes_of(tried, Solution) + _bytes_of(prober.problems[: len(tried)], Problem)
    return Cost(
        Estimate(num_all),
        tokens,
        tokens * (seconds / max(sum(len(s.completion.token_ids) for s in tried), 1)),
        Estimate(num_all * size / len(tried) / 1e6),
    )


def annotation_cost(job: Job, sample: Sample, rollouts: Sequence[Sequence[Rollout]]) -> Cost:
    """Tokens go with the length of what is left of the solution, rollouts with positions."""
    blocks, num_all = sample.blocks, sample.num_blocks if job.is_known else None
    tokens_of = [float(sum(len(r.continuation.token_ids) for r in some)) for some in rollouts]
    tokens = ratio(tokens_of, [_formula_of(block, job.k) for block in blocks], num_all) * job.formula
    num = ratio([float(len(some)) for some in rollouts], [float(len(b.positions)) for b in blocks], num_all)
    speed = sum(len(r.continuation.token_ids) for b in blocks for r in b.rollouts) / sample.seconds
    per_rollout = _mean_bytes([r for block in blocks for r in block.rollouts], Rollout)
    per_position = _mean_bytes([p for block in blocks for p in block.positions], Position)
    size = num * job.num_positions * (per_rollout / 1e6) + job.num_positions * (per_position / 1e6)
    return Cost(num * job.num_positions, tokens, tokens * (1 / speed), size)


def _formula_of(block: Block, k: int) -> float:
    length = len(block.solution.completion.token_ids)
    return float(sum((k - 1) * (length - position.position) for position in block.positions))


def _mean_bytes(records: Sequence[Any], record_type: Any) -> float:
    return _bytes_of(records, record_type) / len(records) if records else 0.0


def _bytes_of(records: Sequence[Any], record_type: Any) -> int:
    """As Parquet, written and thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.parquet"
        write_parquet(path, to_table(records, record_type))
        return path.stat().st_size


def _clock(end: float) -> Callable[[], bool]:
    return lambda: time.monotonic() >= end


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f} {estimate.percent}" if estimate.error else f"{estimate.value:,.0f}"


def _time(estimate: Estimate) -> str:
    """To two figures."""
    return f"{duration(float(f'{estimate.value:.2g}'))} {estimate.percent}"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:,.1f} GB" if megabytes >= 1000 else f"{megabytes:,.2g} MB"
