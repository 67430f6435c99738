"""JSONL, CSV and Parquet files as rows."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cruxtune.errors import ProblemError

Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file; its ending says which format it has."""
    if not path.is_file():
        raise ProblemError(f"there is no file {path}")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ProblemError(f"{path}: can't tell the format: the name must end in {', '.join(_READERS)}")
    if path.stat().st_size == 0:
        raise ProblemError(f"{path} is empty")
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise ProblemError(f"can't read {path}: {error.strerror or error}") from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _row(line, path, number)


def _row(line: str, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ProblemError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ProblemError(f"{path}, line {number} is {type(row).__name__}, not an object with named columns")
    return row


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise ProblemError(
                        f"{path}, line {reader.line_num} has another number of fields than the header"
                    )
                yield row
        except csv.Error as error:
            raise ProblemError(f"{path}, line {reader.line_num + 1} is not CSV: {error}") from error


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        yield from pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise ProblemError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from error


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
