"""The numbers of a run: from graded responses to one row a method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cruxtune.evaluate import Estimate, mean_estimate, paired_difference, pass_at
from cruxtune.records import GREEDY, Response, Verdict


@dataclass(frozen=True, slots=True)
class Scores:
    """One method on one benchmark: rows are seeds, columns are problems in the benchmark's order."""

    greedy: Float[np.ndarray, "seeds problems"]
    """1 where the greedy response is right."""
    num_correct: Float[np.ndarray, "seeds problems"]
    """How many sampled responses are right."""
    num_samples: int
    no_answer: float
    """Share of all responses without an answer."""
    truncated: float
    """Share of all responses that reached the length limit."""
    ungraded: int
    """Responses that the verifier could not grade; they count as not right."""
    mean_tokens: float

    def pass_at(self, n: int) -> Float[np.ndarray, "seeds problems"]:
        return pass_at(n, self.num_samples, self.num_correct)


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method on one benchmark, as a table shows it."""

    method: str
    benchmark: str
    num_seeds: int
    num_problems: int
    greedy: Estimate
    sampled: Estimate | None
    """Pass@1: one sample at the recipe's temperature."""
    pass_at_most: Estimate | None
    """Pass@N for the largest N that was sampled."""
    gain: Estimate | None
    """Greedy accuracy minus that of the baseline method, paired by problem; None for the baseline."""
    sampled_gain: Estimate | None
    no_answer: float
    truncated: float
    mean_tokens: float


def score(responses_by_seed: Sequence[Iterable[Response]]) -> Scores:
    """The scores of one method from its responses, one collection of them a seed."""
    seeds = [list(responses) for responses in responses_by_seed]
    everything = [response for responses in seeds for response in responses]
    verdicts = [response.grade.verdict for response in everything]
    return Scores(
        greedy=np.array([_greedy(responses) for responses in seeds], dtype=float),
        num_correct=np.array([_num_correct(responses) for responses in seeds], dtype=float),
        num_samples=max(response.sample for response in everything) + 1,
        no_answer=verdicts.count(Verdict.NO_ANSWER) / len(verdicts),
        truncated=verdicts.count(Verdict.TRUNCATED) / len(verdicts),
        ungraded=verdicts.count(Verdict.UNGRADED),
        mean_tokens=float(np.mean([len(r.completion.token_ids) for r in everything])),
    )


def make_row(method: str, benchmark: str, scores: Scores, baseline: Scores | None) -> MethodRow:
    """The estimates of one method, beside those of the baseline on the same problems."""
    has_samples = scores.num_samples > 0
    return MethodRow(
        method=method,
        benchmark=benchmark,
        num_seeds=scores.greedy.shape[0],
        num_problems=scores.greedy.shape[1],
        greedy=mean_estimate(scores.greedy),
        sampled=mean_estimate(scores.pass_at(1)) if has_samples else None,
        pass_at_most=mean_estimate(scores.pass_at(scores.num_samples)) if has_samples else None,
        gain=paired_difference(scores.greedy, baseline.greedy) if baseline else None,
        sampled_gain=paired_difference(scores.pass_at(1), baseline.pass_at(1))
        if baseline and has_samples
        else None,
        no_answer=scores.no_answer,
        truncated=scores.truncated,
        mean_tokens=scores.mean_tokens,
    )


def _by_problem(responses: Iterable[Response]) -> dict[str, list[Response]]:
    grouped: dict[str, list[Response]] = {}
    for response in responses:
        grouped.setdefault(response.problem_id, []).append(response)
    return grouped


def _is_right(response: Response) -> bool:
    return response.grade.verdict is Verdict.CORRECT


def _greedy(responses: Sequence[Response]) -> list[bool]:
    return [any(_is_right(r) for r in rs if r.sample == GREEDY) for rs in _by_problem(responses).values()]


def _num_correct(responses: Sequence[Response]) -> list[int]:
    return [sum(_is_right(r) for r in rs if r.sample != GREEDY) for rs in _by_problem(responses).values()]
