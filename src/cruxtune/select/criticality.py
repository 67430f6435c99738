"""The criticality rules (CFT paper, eq. 6 and section 4.5), each a query over stored evidence.

A rule looks at the *reasonable* alternatives of rank 2 to k: those at least as probable as a floor. A
position where none is reasonable, or where the verifier could not decide, is UNTESTED and weighs 0.
"""

from collections.abc import Sequence

from cruxtune.errors import SelectionError
from cruxtune.records import Criticality, Verdict
from cruxtune.select.evidence import Evidence, Outcome


def strict(evidence: Evidence, k: int, min_alternative_prob: float = 0.0) -> list[Criticality]:
    """Critical where every reasonable alternative fails (eq. 6)."""
    reasonable = _reasonable(evidence, k, min_alternative_prob)
    return [_strict(outcomes, evidence.has_gaps) for outcomes in reasonable]


def union(evidence: Evidence, k: int, min_alternative_prob: float = 0.0) -> list[Criticality]:
    """Critical where any reasonable alternative fails."""
    return [_union(outcomes) for outcomes in _reasonable(evidence, k, min_alternative_prob)]


def graded(evidence: Evidence, k: int, min_alternative_prob: float = 0.0) -> list[float]:
    """How many reasonable alternatives fail: with k = 3, weight 1 is weak and 2 is strong."""
    return [_graded(outcomes) for outcomes in _reasonable(evidence, k, min_alternative_prob)]


def to_weights(criticality: Sequence[Criticality]) -> list[float]:
    """1 for CRITICAL, 0 for the others."""
    return [float(value is Criticality.CRITICAL) for value in criticality]


Outcomes = Sequence[Outcome | None]
"""Of one position, rank 2 first; None stands for a rank that was not run."""


def _strict(outcomes: Outcomes, has_gaps: bool = False) -> Criticality:
    if any(outcome and outcome.verdict is Verdict.CORRECT for outcome in outcomes):
        return Criticality.NOT_CRITICAL
    if has_gaps and None in outcomes:
        return Criticality.UNTESTED
    ran = _require_run(outcomes)
    all_fail = bool(ran) and all(outcome.verdict.is_failure for outcome in ran)
    return Criticality.CRITICAL if all_fail else Criticality.UNTESTED


def _union(outcomes: Outcomes) -> Criticality:
    if any(outcome and outcome.verdict.is_failure for outcome in outcomes):
        return Criticality.CRITICAL
    ran = _require_run(outcomes)
    all_hold = bool(ran) and all(outcome.verdict is Verdict.CORRECT for outcome in ran)
    return Criticality.NOT_CRITICAL if all_hold else Criticality.UNTESTED


def _graded(outcomes: Outcomes) -> float:
    ran = _require_run(outcomes)
    if any(outcome.verdict is Verdict.UNGRADED for outcome in ran):
        return 0.0
    return float(sum(outcome.verdict.is_failure for outcome in ran))


def _require_run(outcomes: Outcomes) -> list[Outcome]:
    ran = [outcome for outcome in outcomes if outcome is not None]
    if len(ran) < len(outcomes):
        raise SelectionError(
            "this rule needs alternatives that were not run: annotate with mode = 'eager', "
            "or with a larger k, to complete the evidence"
        )
    return ran


def _reasonable(evidence: Evidence, k: int, floor: float) -> list[Outcomes]:
    """The outcomes that count at each position. Ranks fall in probability, so once one is below the
    floor the ranks after it are too, run or not."""
    return [_above_floor(evidence.at(position), k, floor) for position in range(evidence.num_tokens)]


def _above_floor(outcomes: dict[int, Outcome], k: int, floor: float) -> Outcomes:
    kept: list[Outcome | None] = []
    for rank in range(2, k + 1):
        outcome = outcomes.get(rank)
        if outcome and outcome.probability < floor:
            break
        kept.append(outcome)
    return kept
