"""Reading a stage's directory: only what is complete or usable, and only as it was written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from cruxtune.errors import ArtifactError
from cruxtune.store.files import hash_file, read_parquet
from cruxtune.store.manifest import Manifest, Part
from cruxtune.store.parts import table_name
from cruxtune.store.schema import from_table, schema_of

R = TypeVar("R")

VERBS = (
    "solve",
    "sample",
    "annotate",
    "gather",
    "score",
    "select",
    "sweep",
    "train",
    "evaluate",
    "report",
)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a directory that is complete, or that was paused with something usable in it."""
    manifest = Manifest.read(directory)
    if manifest is None:
        raise ArtifactError(f"{directory} is missing: run `{_verb_of(directory)}` first")
    if not manifest.is_usable:
        use = ", or with --budget 0s to use what is there" if manifest.stage == "annotate" else ""
        raise ArtifactError(f"{directory} is not complete: run `{manifest.stage}` first{use}")
    return manifest


def _verb_of(directory: Path) -> str:
    """The verb that writes a directory: the name of its own or of the folder that holds it."""
    return next((name for name in reversed(directory.parts) if name in VERBS), directory.name)


def read_records(directory: Path, record_type: type[R]) -> Iterator[R]:
    """All records of a type in a complete directory, in the order in which they were written."""
    for part in read_manifest(directory).parts:
        if part.file.startswith(f"{table_name(record_type)}-"):
            yield from _read_part(directory / part.file, part, record_type)


def read_column(directory: Path, record_type: Any, column: str) -> Iterator[Any]:
    """One column of all records of a type, for those who need no more."""
    for part in read_manifest(directory).parts:
        if part.file.startswith(f"{table_name(record_type)}-"):
            _require_unchanged(directory / part.file, part)
            schema = schema_of(record_type)
            yield from read_parquet(directory / part.file, pa.schema([schema.field(column)]))[
                column
            ].to_pylist()


def require_intact(directory: Path) -> None:
    """Raises where a file of a complete directory is not the one that was written."""
    for part in read_manifest(directory).parts:
        _require_unchanged(directory / part.file, part)


def _read_part(path: Path, part: Part, record_type: type[R]) -> Iterator[R]:
    _require_unchanged(path, part)
    return from_table(read_parquet(path, schema_of(record_type)), record_type)


def _require_unchanged(path: Path, part: Part) -> None:
    if not path.exists() or hash_file(path) != part.sha256:
        raise ArtifactError(
            f"{path} is missing or was changed since it was written: delete {path.parent} and run again"
        )
