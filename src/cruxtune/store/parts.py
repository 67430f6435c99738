"""Parts: runs of records in numbered Parquet files, one file a record type."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from cruxtune.store.files import read_parquet
from cruxtune.store.schema import from_table, schema_of

R = TypeVar("R")

PARTIAL = ".partial.parquet"


def read_part(directory: Path, index: int, record_type: type[R]) -> list[R]:
    """The records of one part, complete directory or not."""
    return list(from_table(read_part_table(directory, index, record_type), record_type))


def read_part_table(directory: Path, index: int, record_type: Any) -> pa.Table:
    """One part as an Arrow table, for those who need few of its columns; its beginning where that is all."""
    path, beginning = (part_path(directory, record_type, index, partial) for partial in (False, True))
    return read_parquet(
        beginning if beginning.exists() and not path.exists() else path, schema_of(record_type)
    )


def part_path(directory: Path, record_type: Any, index: int, is_partial: bool = False) -> Path:
    """`solutions-00003.parquet`: five digits keep the parts in order."""
    return directory / f"{table_name(record_type)}-{index:05d}{PARTIAL if is_partial else '.parquet'}"


def num_items(parts: Iterable[tuple[int, Sequence[Any]]]) -> int:
    """How many items some parts hold together."""
    return sum(len(part) for _, part in parts)


def parts_of(items: Sequence[R], size: int) -> Iterable[tuple[int, Sequence[R]]]:
    """The items in runs of `size`, with their part number."""
    return ((start // size, items[start : start + size]) for start in range(0, len(items), size))


def table_name(record_type: Any) -> str:
    """How the files of a record type begin."""
    name = record_type.__name__.lower()
    return name.removeprefix("token") if name.startswith("token") else f"{name}s"
