"""Evidence to loss weights: pure functions, no model, no files."""

from cruxtune.select.agreement import Agreement, bootstrap_interval
from cruxtune.select.control import all_tokens, random_tokens
from cruxtune.select.criticality import graded, strict, to_weights, union
from cruxtune.select.evidence import Evidence, Outcome, gather_evidence

__all__ = [
    "Agreement",
    "Evidence",
    "Outcome",
    "all_tokens",
    "bootstrap_interval",
    "gather_evidence",
    "graded",
    "random_tokens",
    "strict",
    "to_weights",
    "union",
]
