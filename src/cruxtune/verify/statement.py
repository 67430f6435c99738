"""Where a final answer stands."""

from typing import NamedTuple


class Statement(NamedTuple):
    """A final answer as it was written, and where in the text its statement begins."""

    start: int
    answer: str
