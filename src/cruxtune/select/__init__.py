"""Evidence to loss weights: pure functions, no model, no files."""

from cruxtune.select.agreement import Agreement, bootstrap_interval
from cruxtune.select.classes import TokenClass, classify, token_classes
from cruxtune.select.criticality import graded, strict, to_weights, union
from cruxtune.select.evidence import Evidence, Outcome, gather_evidence
from cruxtune.select.formula import evaluate, parse_formula
from cruxtune.select.pieces import text_of, token_bytes, writes_from
from cruxtune.select.places import first_tokens, stop_tokens
from cruxtune.select.ranking import Mask, Scores, count_of_share, random_tokens, top_tokens
from cruxtune.select.transfer import Coverage, transfer

__all__ = [
    "Agreement",
    "Coverage",
    "Evidence",
    "Mask",
    "Outcome",
    "Scores",
    "TokenClass",
    "bootstrap_interval",
    "classify",
    "count_of_share",
    "evaluate",
    "first_tokens",
    "gather_evidence",
    "graded",
    "parse_formula",
    "random_tokens",
    "stop_tokens",
    "strict",
    "text_of",
    "to_weights",
    "token_bytes",
    "token_classes",
    "top_tokens",
    "transfer",
    "union",
    "writes_from",
]
