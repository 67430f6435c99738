"""Writing a stage's directory: Parquet parts, each whole, and a manifest that is complete at the end."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from cruxtune.errors import ArtifactError
from cruxtune.store.files import hash_file, write_parquet
from cruxtune.store.manifest import Manifest, Part, difference
from cruxtune.store.parts import PARTIAL, num_items, part_path
from cruxtune.store.schema import to_table

R = TypeVar("R")


class StageWriter:
    """The one process that may write a stage directory, while the `with` block lasts."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self._manifest = manifest
        self._lock = FileLock(directory / ".lock")

    def __enter__(self) -> Self:
        _make(self.directory)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ArtifactError(
                f"another process is writing {self.directory}: wait for it, or choose another output_dir"
            ) from error
        except OSError as error:
            raise ArtifactError(f"can't write in {self.directory}: {error.strerror}") from error
        try:
            recorded = require_same(self.directory, self._manifest)
            self._manifest = self._manifest.going_on_from(recorded)
            self._manifest.write(self.directory)
            _sweep(self.directory)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def has_part(self, index: int, record_type: Any) -> bool:
        return part_path(self.directory, record_type, index).exists()

    def missing_parts(
        self, parts: Sequence[tuple[int, Sequence[R]]], record_type: Any
    ) -> tuple[list[tuple[int, Sequence[R]]], int]:
        """The parts that are not there yet, and how many items the others hold."""
        missing = [part for part in parts if not self.has_part(part[0], record_type)]
        return missing, num_items(parts) - num_items(missing)

    def write_part(
        self, index: int, record_type: type[R], records: Sequence[R], is_partial: bool = False
    ) -> None:
        """Where a part has several tables, the one that `has_part` is asked about goes last.

        A partial one, `rollouts-00003.partial.parquet`, is the beginning of a part that is not whole yet.
        """
        path = part_path(self.directory, record_type, index, is_partial)
        write_parquet(path, to_table(records, record_type))

    def pause(self, counts: dict[str, float], indices: Sequence[int]) -> Manifest:
        """Say that some parts and the partial ones are usable as they are; the directory is not complete."""
        files = sorted(self.directory.glob("*.parquet"))
        parts = [_describe(path, self.directory) for path in files if _is_usable(path, set(indices))]
        manifest = self._manifest.model_copy(update={"complete": False, "parts": parts, "counts": counts})
        manifest.write(self.directory)
        return manifest

    def finish(self, counts: dict[str, float], *others: Path) -> Manifest:
        """Mark the directory as complete; `others` are files of its own that are not parts."""
        files = [*sorted(self.directory.glob("*.parquet")), *others]
        parts = [_describe(path, self.directory) for path in files]
        manifest = self._manifest.model_copy(update={"complete": True, "parts": parts, "counts": counts})
        manifest.write(self.directory)
        return manifest


def is_complete(directory: Path, wanted: Manifest) -> bool:
    """Whether a directory holds all that `wanted` describes; raises if it holds something else."""
    recorded = require_same(directory, wanted)
    return recorded is not None and recorded.complete


def holds(directory: Path, wanted: Manifest) -> bool:
    """Whether a directory holds all that `wanted` describes; False where it holds something else."""
    recorded = Manifest.read(directory)
    return recorded is not None and recorded.complete and difference(recorded, wanted) is None


def forget_other(directory: Path, wanted: Manifest) -> None:
    """Let a directory be made again if it was made from something else: for what costs nothing to make."""
    recorded = Manifest.read(directory)
    if recorded is not None and difference(recorded, wanted):
        (directory / "manifest.json").unlink()


def require_same(directory: Path, wanted: Manifest) -> Manifest | None:
    """The manifest of a directory that was begun for the same recipe, model and inputs."""
    recorded = Manifest.read(directory)
    if recorded is not None and (what := difference(recorded, wanted)):
        raise ArtifactError(
            f"{directory} {what}: choose another output_dir, or delete {directory} (and what was made from "
            "it) to make it again"
        )
    return recorded


def _describe(path: Path, directory: Path) -> Part:
    is_table = path.suffix == ".parquet"
    rows = _num_rows(path) if is_table else 0
    return Part(file=path.relative_to(directory).as_posix(), num_rows=rows, sha256=hash_file(path))


def _num_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _is_usable(path: Path, indices: set[int]) -> bool:
    return path.name.endswith(PARTIAL) or int(path.stem.rpartition("-")[2]) in indices


def _sweep(directory: Path) -> None:
    """Remove what a killed process left half written, and partial parts, which are made again."""
    for pattern in (".*.tmp", f"*{PARTIAL}"):
        for path in directory.glob(pattern):
            path.unlink()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"can't make the directory {directory}: {error.strerror}") from error
