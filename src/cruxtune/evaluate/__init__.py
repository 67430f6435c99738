"""How right a model is, and how sure one can be of that."""

from cruxtune.evaluate.metrics import Estimate, mean_estimate, paired_difference, pass_at, share

__all__ = ["Estimate", "mean_estimate", "paired_difference", "pass_at", "share"]
