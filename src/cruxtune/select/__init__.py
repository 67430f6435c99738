"""Evidence to loss weights: pure functions, no model, no files."""

from cruxtune.select.agreement import Agreement, bootstrap_interval
from cruxtune.select.classes import TokenClass, classify, token_classes
from cruxtune.select.control import all_tokens, random_tokens
from cruxtune.select.criticality import graded, strict, to_weights, union
from cruxtune.select.evidence import Evidence, Outcome, gather_evidence
from cruxtune.select.formula import evaluate, parse_formula
from cruxtune.select.pieces import text_of, token_bytes, writes_from

__all__ = [
    "Agreement",
    "Evidence",
    "Outcome",
    "TokenClass",
    "all_tokens",
    "bootstrap_interval",
    "classify",
    "evaluate",
    "gather_evidence",
    "graded",
    "parse_formula",
    "random_tokens",
    "strict",
    "text_of",
    "to_weights",
    "token_bytes",
    "token_classes",
    "union",
    "writes_from",
]
