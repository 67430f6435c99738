"""Data sets of the Hugging Face Hub as rows. No code of a repository is ever run."""

from collections.abc import Iterator
from typing import Any

from cruxtune.errors import ProblemError


def read_hub(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, Any]]:
    """The rows of one split, from the cache where they are in it."""
    from datasets import load_dataset

    try:
        for row in load_dataset(name, config, split=split, revision=revision):
            yield dict(row)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProblemError(
            f"can't load {name} ({config or 'default'}, {split}) from the Hub: {reason}. "
            "Without a network, give a local file with `path`"
        ) from error
