"""Cruxtune: find the critical tokens of a model's correct solutions, fine-tune on those alone."""

__version__ = "0.1.0"
