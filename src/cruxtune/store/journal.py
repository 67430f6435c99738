"""Records on their way into parts: small files, flushed every few seconds, that a killed process leaves.

Each part has a folder of its own, `journal/00003/`, which goes when the part is written.
"""

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cruxtune.errors import ArtifactError
from cruxtune.store.files import read_parquet, write_parquet
from cruxtune.store.parts import table_name
from cruxtune.store.schema import from_table, schema_of, to_table

R = TypeVar("R")

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0


class Journal:
    """What was found out for parts that are not whole yet; only the holder of the stage's lock writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "journal"
        self._damaged: set[Path] = set()
        self._pending: dict[tuple[int, Any], list[Any]] = defaultdict(list)
        self._last_flush = self._last_added = time.monotonic()
        self._number = max((_number_of(path) for path in self.directory.rglob("*.parquet")), default=-1) + 1

    def add(self, index: int, record_type: type[R], records: Sequence[R]) -> None:
        """Take records of a part; `flush_if_due` writes them."""
        if records:
            self._pending[index, record_type] += records

    def flush_if_due(self) -> None:
        """Flush when the next call can be expected to come too late, so that a crash loses some seconds."""
        now = time.monotonic()
        gap, self._last_added = now - self._last_added, now
        if now + gap - self._last_flush >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all that was added since the last time, in the order in which it was added."""
        for index, record_type in list(self._pending):
            path = self._folder(index) / f"{table_name(record_type)}-{self._number:06d}.parquet"
            write_parquet(path, to_table(self._pending[index, record_type], record_type))
            self._pending.pop((index, record_type))
        self._number += 1
        self._last_flush = time.monotonic()

    def read(self, index: int, record_type: type[R]) -> Iterator[R]:
        """All that is known of a part, flushed or not; a damaged file is left out with a warning."""
        for path in sorted(self._folder(index).glob(f"{table_name(record_type)}-*.parquet")):
            try:
                yield from from_table(read_parquet(path, schema_of(record_type)), record_type)
            except ArtifactError as error:
                self._warn(path, str(error).split(":")[0])
        yield from self._pending.get((index, record_type), ())

    def drop(self, index: int) -> None:
        """Forget a part: it is written."""
        for key in [key for key in self._pending if key[0] == index]:
            del self._pending[key]
        shutil.rmtree(self._folder(index), ignore_errors=True)

    def remove(self) -> None:
        """Take the journal away: every part is written."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _warn(self, path: Path, what: str) -> None:
        if path not in self._damaged:
            logger.warning("%s: what was in it is done again", what)
        self._damaged.add(path)

    def _folder(self, index: int) -> Path:
        return self.directory / f"{index:05d}"


def _number_of(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1
