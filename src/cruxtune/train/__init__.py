"""Fine-tuning on weighted tokens. The trainer knows weights, not methods."""

from cruxtune.train.examples import make_examples

__all__ = ["make_examples"]
