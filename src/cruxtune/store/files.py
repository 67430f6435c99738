"""Files that are there whole or not at all, and their hashes."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cruxtune.errors import ArtifactError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a temporary file beside `path`, flush it to the disk, then rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explained(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """The value as indented JSON with sorted keys, so that equal values give equal bytes; nan is null."""
    text = json.dumps(_without_nan(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: _write_text(file, text))


def write_text(path: Path, text: str) -> None:
    """The text as UTF-8."""
    write_atomically(path, lambda file: _write_text(file, text))


def write_parquet(path: Path, table: pa.Table) -> None:
    """The table as one zstd-compressed Parquet file; equal tables give equal bytes."""
    write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """The table in a part, with the columns of `schema`."""
    try:
        return pq.read_table(path, columns=schema.names).cast(schema)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{path} is damaged ({_first_line(error)}): delete it and run its stage again"
        ) from error


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_values(values: Iterable[str]) -> str:
    """SHA-256 of several strings, in their order."""
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _explained(error: OSError, path: Path) -> ArtifactError:
    if error.errno == errno.ENOSPC:
        return ArtifactError(
            f"the disk is full: {path} was not written, all parts before it are kept. "
            "Free some space and run the same command again"
        )
    return ArtifactError(f"can't write {path}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
