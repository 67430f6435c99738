"""What a stage takes, carried over from a sample of its work."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cruxtune.records import Position, Problem, Rollout, Solution
from cruxtune.stages.forecast import Estimate, mean, ratio
from cruxtune.stages.probe import Block, Sample
from cruxtune.stages.workload import Workload
from cruxtune.store.files import write_parquet
from cruxtune.store.schema import to_table


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage takes."""

    rollouts: Estimate
    """Or solutions."""
    tokens: Estimate
    seconds: Estimate
    megabytes: Estimate


def solving_cost(problems: Sequence[Problem], tried: Sequence[Solution], seconds: float) -> Cost:
    """Of all problems, some of which were tried in so many seconds."""
    num_all = len(problems)
    tokens = mean([float(len(s.completion.token_ids)) for s in tried], num_all) * num_all
    size = _bytes_of(tried, Solution) + _bytes_of(problems[: len(tried)], Problem)
    return Cost(
        Estimate(num_all),
        tokens,
        tokens * (seconds / max(sum(len(s.completion.token_ids) for s in tried), 1)),
        Estimate(num_all * size / len(tried) / 1e6),
    )


def annotation_cost(work: Workload, sample: Sample, rollouts: Sequence[Sequence[Rollout]]) -> Cost:
    """Tokens go with the length of what is left of the solution, rollouts with positions."""
    blocks, num_all = sample.blocks, sample.num_blocks if work.is_known else None
    tokens_of = [float(sum(len(r.continuation.token_ids) for r in some)) for some in rollouts]
    tokens = ratio(tokens_of, [_formula_of(block, work.k) for block in blocks], num_all) * work.formula
    num = ratio([float(len(some)) for some in rollouts], [float(len(b.positions)) for b in blocks], num_all)
    speed = sum(len(r.continuation.token_ids) for b in blocks for r in b.rollouts) / sample.seconds
    per_rollout = _mean_bytes([r for block in blocks for r in block.rollouts], Rollout)
    per_position = _mean_bytes([p for block in blocks for p in block.positions], Position)
    size = num * work.num_positions * (per_rollout / 1e6) + work.num_positions * (per_position / 1e6)
    return Cost(num * work.num_positions, tokens, tokens * (1 / speed), size)


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
