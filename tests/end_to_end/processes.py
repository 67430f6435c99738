"""Processes of this machine, by /proc."""

from collections.abc import Iterator
from pathlib import Path


def children_of(parent: int) -> Iterator[int]:
    """All processes under one, by their ids."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            child = int(path.parent.name)
            yield child
            yield from children_of(child)
