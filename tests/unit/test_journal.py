"""The journal: what was flushed is there after a crash, whatever else is not."""

import errno

import pyarrow.parquet as pq
import pytest

import cruxtune.store.journal
from cruxtune.errors import ArtifactError
from cruxtune.records import TokenWeights
from cruxtune.store import Journal

FIRST, SECOND, THIRD = (TokenWeights(name, [0.5, 1.0]) for name in "abc")


def flushed(directory, index, *records) -> None:
    """A process that writes and dies."""
    journal = Journal(directory)
    journal.add(index, TokenWeights, list(records))
    journal.flush()


def test_what_was_added_is_read_flushed_or_not(tmp_path):
    journal = Journal(tmp_path)
    journal.add(0, TokenWeights, [FIRST])
    journal.add(1, TokenWeights, [THIRD])
    journal.flush()
    journal.add(0, TokenWeights, [SECOND])
    assert list(journal.read(0, TokenWeights)) == [FIRST, SECOND]
    assert list(Journal(tmp_path).read(0, TokenWeights)) == [FIRST]


def test_a_new_process_writes_beside_what_it_finds(tmp_path):
    for record in (FIRST, SECOND, THIRD):
        flushed(tmp_path, 2, record)
    assert list(Journal(tmp_path).read(2, TokenWeights)) == [FIRST, SECOND, THIRD]


def test_a_damaged_file_costs_its_own_records_and_a_warning(tmp_path, caplog):
    for record in (FIRST, SECOND, THIRD):
        flushed(tmp_path, 0, record)
    torn = sorted((tmp_path / "journal" / "00000").glob("*.parquet"))[1]
    torn.write_bytes(torn.read_bytes()[:-30])
    assert list(Journal(tmp_path).read(0, TokenWeights)) == [FIRST, THIRD]
    assert "weights-000001.parquet is damaged" in caplog.text and "done again" in caplog.text


def test_a_full_disk_keeps_what_was_not_flushed_for_the_next_time(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add(0, TokenWeights, [FIRST])
    with monkeypatch.context() as patch, pytest.raises(ArtifactError, match="the disk is full"):
        patch.setattr(pq, "write_table", no_space)
        journal.flush()
    assert list(Journal(tmp_path).read(0, TokenWeights)) == []
    journal.flush()
    assert list(Journal(tmp_path).read(0, TokenWeights)) == [FIRST]


def no_space(*_, **__) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_part_that_is_written_leaves_nothing_behind(tmp_path):
    flushed(tmp_path, 0, FIRST)
    flushed(tmp_path, 1, SECOND)
    journal = Journal(tmp_path)
    journal.add(0, TokenWeights, [THIRD])
    journal.drop(0)
    journal.flush()
    assert list(journal.read(0, TokenWeights)) == []
    assert list(journal.read(1, TokenWeights)) == [SECOND]
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_records_are_flushed_before_they_are_too_old(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(cruxtune.store.journal.time, "monotonic", lambda: clock[0])
    journal = Journal(tmp_path)

    def is_flushed_at(seconds: float) -> bool:
        clock[0] = seconds
        journal.add(0, TokenWeights, [FIRST])
        before = len(list(tmp_path.rglob("*.parquet")))
        journal.flush_if_due()
        return len(list(tmp_path.rglob("*.parquet"))) > before

    assert [is_flushed_at(seconds) for seconds in (1, 2, 8)] == [False, False, True], "14 would be too late"
    assert [is_flushed_at(seconds) for seconds in (9, 10)] == [False, False]
    assert is_flushed_at(40) and is_flushed_at(70), "news that are rare are flushed at once"
