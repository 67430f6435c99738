"""Accuracies and their errors, from right and wrong. Pure; every function takes plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number between 0 and 1 (or a difference of two) and its standard error."""

    value: float
    standard_error: float


def mean_estimate(scores: Float[np.ndarray, "seeds problems"]) -> Estimate:
    """The mean over seeds and problems, with a standard error for both as samples.

    Two-way clustered variance (Cameron, Gelbach and Miller, 2011): the variance of the problem means plus
    that of the seed means, less what both count twice. With one seed it is the usual error over problems.
    """
    return Estimate(float(scores.mean()), float(np.sqrt(two_way_variance(scores))))


def paired_difference(
    scores: Float[np.ndarray, "seeds problems"], baseline: Float[np.ndarray, "rows problems"]
) -> Estimate:
    """How much better than a baseline on the same problems; the baseline may have one row for all seeds."""
    return mean_estimate(scores - baseline)


def two_way_variance(scores: Float[np.ndarray, "seeds problems"]) -> float:
    """Variance of the grand mean where both rows and columns are drawn from populations."""
    num_seeds, num_problems = scores.shape
    by_problem = _variance_of_mean(scores.mean(axis=0))
    if num_seeds == 1:
        return by_problem
    by_seed = _variance_of_mean(scores.mean(axis=1))
    residual = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    degrees = (num_seeds - 1) * max(num_problems - 1, 1)
    both = float((residual**2).sum()) / degrees / (num_seeds * num_problems)
    return max(by_problem + by_seed - both, by_problem, by_seed)


def pass_at(n: int, num_samples: int, num_correct: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Probability that n of the samples, drawn without return, hold a right one (Chen et al., 2021).

    >>> pass_at(2, 4, np.array([0, 1, 4])).tolist()
    [0.0, 0.5, 1.0]
    """
    if not 1 <= n <= num_samples:
        raise ValueError(f"Pass@{n} needs at least {n} samples, there are {num_samples}")
    wrong = num_samples - np.asarray(num_correct)
    factors = [np.clip((wrong - i) / (num_samples - i), 0.0, 1.0) for i in range(n)]
    return np.asarray(1.0 - np.prod(factors, axis=0))


def share(values: Sequence[bool] | Bool[np.ndarray, "..."]) -> float:
    """The share of true values; 0 of none."""
    return float(np.mean(values)) if len(values) else 0.0


def _variance_of_mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
