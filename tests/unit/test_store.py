"""Stage directories: whole or absent, refused when they belong to something else, equal when equal."""

import dataclasses
import errno
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.errors import ArtifactError
from cruxtune.records import (
    Completion,
    FinishReason,
    Grade,
    Position,
    Problem,
    Response,
    Rollout,
    Solution,
    TokenWeights,
    Verdict,
)
from cruxtune.store import (
    Manifest,
    ModelIdentity,
    StageWriter,
    installed_versions,
    is_complete,
    parts_of,
    read_manifest,
    read_part,
    read_records,
)
from cruxtune.store.manifest import RECORDED_PACKAGES
from cruxtune.store.schema import from_table, schema_of, to_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "artifacts.md"
TABLES = {
    "problems": Problem,
    "solutions": Solution,
    "positions": Position,
    "rollouts": Rollout,
    "weights": TokenWeights,
    "responses": Response,
}
MODEL = ModelIdentity(name="m", revision=None, weights_sha256="w" * 64, tokenizer_sha256="t" * 64)
WEIGHTS = [TokenWeights("a", [0.0, 1.0]), TokenWeights("b", [2.0])]


def wanted(**changes) -> Manifest:
    values = {"stage": "select", "settings": {"rule": {"k": 3}}, "model": MODEL, "inputs": {}, "versions": {}}
    return Manifest(**(values | changes))


def write(directory: Path, manifest: Manifest, records=WEIGHTS) -> None:
    with StageWriter(directory, manifest) as writer:
        writer.write_part(0, TokenWeights, records)
        writer.finish({"num_tokens": 3})


def numbers_as_stored() -> dict:
    return {
        int: st.integers(-(2**31), 2**31 - 1),
        float: st.floats(width=32, allow_nan=False),
        str: st.text(),
    }


for kind, strategy in numbers_as_stored().items():
    st.register_type_strategy(kind, strategy)


@pytest.mark.parametrize("record_type", TABLES.values(), ids=TABLES)
def test_every_record_comes_back_as_it_was(record_type):
    @given(st.lists(st.from_type(record_type), max_size=3))
    def check(records):
        assert list(from_table(to_table(records, record_type), record_type)) == records

    check()


def test_the_schema_is_the_documented_one():
    expected = {
        "problems": "id question answer kind source choices",
        "solutions": "id problem_id prompt_ids token_ids text finish_reason verdict answer origin",
        "positions": "solution_id position token_id text probability entropy margin "
        "alternative_ids alternative_probs",
        "rollouts": "solution_id position rank token_id probability token_text token_ids text finish_reason "
        "verdict answer",
        "weights": "solution_id loss_weights",
        "responses": "problem_id sample token_ids text finish_reason verdict answer",
    }
    assert {name: " ".join(schema_of(kind).names) for name, kind in TABLES.items()} == expected
    sections = re.split(r"^\*\*(\w+)\*\*", DOCUMENT.read_text(encoding="utf-8"), flags=re.M)
    documented = dict(zip(sections[1::2], sections[2::2], strict=True))
    for name, columns in expected.items():
        for column in columns.split():
            assert f"`{column}`" in documented[name], f"docs/artifacts.md: {name} lacks {column}"


def test_types_and_nulls_are_the_documented_ones():
    types = {field.name: (field.type, field.nullable) for field in schema_of(Solution)}
    assert types["token_ids"] == (pa.list_(pa.int32()), False)
    assert types["verdict"] == (pa.string(), False)
    assert types["answer"] == (pa.string(), True)
    assert schema_of(Position).field("entropy").type == pa.float32()
    assert schema_of(Problem).field("choices").type == pa.list_(pa.string())


def test_no_two_leaf_fields_of_a_record_share_a_column():
    for record_type in TABLES.values():
        names = schema_of(record_type).names
        assert len(names) == len(set(names))


def test_a_directory_holds_its_records_in_the_order_of_its_parts(tmp_path):
    with StageWriter(tmp_path / "s", wanted()) as writer:
        for index in (11, 2, 0):
            writer.write_part(index, TokenWeights, [TokenWeights(str(index), [1.0])])
        assert writer.has_part(2, TokenWeights) and not writer.has_part(3, TokenWeights)
        writer.finish({})
    assert [item.solution_id for item in read_records(tmp_path / "s", TokenWeights)] == ["0", "2", "11"]
    assert read_part(tmp_path / "s", 11, TokenWeights) == [TokenWeights("11", [1.0])]


def test_parts_cut_a_list_without_loss():
    assert list(parts_of("abcdefg", 3)) == [(0, "abc"), (1, "def"), (2, "g")]
    assert list(parts_of("", 3)) == []


def test_a_directory_is_complete_only_at_the_end(tmp_path):
    assert not is_complete(tmp_path / "s", wanted())
    with StageWriter(tmp_path / "s", wanted()) as writer:
        writer.write_part(0, TokenWeights, WEIGHTS)
    assert not is_complete(tmp_path / "s", wanted())
    with pytest.raises(ArtifactError, match="is not complete: run `select` first"):
        read_manifest(tmp_path / "s")
    write(tmp_path / "s", wanted())
    assert is_complete(tmp_path / "s", wanted())
    assert read_manifest(tmp_path / "s").counts == {"num_tokens": 3}


def test_a_directory_that_is_not_there_names_the_stage_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="is missing: run `solve` first"):
        list(read_records(tmp_path / "solve", Solution))


def break_writing(monkeypatch, error: OSError) -> None:
    def write_half(table, path, **options):
        Path(path).write_bytes(b"PAR1 and then nothing")
        raise error

    monkeypatch.setattr(pq, "write_table", write_half)


def test_a_write_that_fails_half_way_leaves_no_part(tmp_path, monkeypatch):
    with StageWriter(tmp_path / "s", wanted()) as writer:
        writer.write_part(0, TokenWeights, WEIGHTS)
        break_writing(monkeypatch, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(ArtifactError, match=r"can't write .*weights-00001"):
            writer.write_part(1, TokenWeights, WEIGHTS)
        assert writer.has_part(0, TokenWeights) and not writer.has_part(1, TokenWeights)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        ".lock",
        "manifest.json",
        "weights-00000.parquet",
    ]


def test_a_full_disk_keeps_the_parts_before_and_says_so_in_one_line(tmp_path, monkeypatch):
    with StageWriter(tmp_path / "s", wanted()) as writer:
        writer.write_part(0, TokenWeights, WEIGHTS)
        with monkeypatch.context() as patch, pytest.raises(ArtifactError) as caught:
            break_writing(patch, OSError(errno.ENOSPC, "No space left on device"))
            writer.write_part(1, TokenWeights, WEIGHTS)
    message = str(caught.value)
    assert "the disk is full" in message and "all parts before it are kept" in message
    assert "\n" not in message
    with StageWriter(tmp_path / "s", wanted()) as writer:
        assert writer.has_part(0, TokenWeights)
        writer.write_part(1, TokenWeights, WEIGHTS[:1])
        writer.finish({})
    assert list(read_records(tmp_path / "s", TokenWeights)) == [*WEIGHTS, WEIGHTS[0]]


def test_a_truncated_part_is_named(tmp_path):
    with StageWriter(tmp_path / "s", wanted()) as writer:
        writer.write_part(0, TokenWeights, WEIGHTS)
    path = tmp_path / "s" / "weights-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=r"weights-00000\.parquet is damaged .*run its stage again"):
        read_part(tmp_path / "s", 0, TokenWeights)


def test_a_part_with_other_columns_is_named(tmp_path):
    (tmp_path / "s").mkdir()
    pq.write_table(pa.table({"solution_id": ["a"]}), tmp_path / "s" / "weights-00000.parquet")
    with pytest.raises(ArtifactError, match="is damaged"):
        read_part(tmp_path / "s", 0, TokenWeights)


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_changed_bytes_of_a_complete_directory_are_named(tmp_path, harm):
    write(tmp_path / "s", wanted())
    harm(tmp_path / "s" / "weights-00000.parquet")
    with pytest.raises(ArtifactError, match=r"weights-00000\.parquet is missing or was changed"):
        list(read_records(tmp_path / "s", TokenWeights))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"stage": "x"}', b"\xff\xfe"])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        Manifest.read(tmp_path)


def test_a_model_is_known_by_its_hashes_not_by_its_name(tmp_path):
    write(tmp_path / "s", wanted())
    assert is_complete(tmp_path / "s", wanted(model=MODEL.model_copy(update={"name": "other"})))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"settings": {"rule": {"k": 2}}}, "was made with rule.k = 3, the recipe says 2"),
        ({"settings": {"rule": {"k": 3, "x": 1}}}, "was made with rule.x = None, the recipe says 1"),
        ({"inputs": {"annotate": "d"}}, "was made from other contents of `annotate`"),
        ({"model": MODEL.model_copy(update={"weights_sha256": "x" * 64})}, "weights xxxxxxxx"),
        ({"model": MODEL.model_copy(update={"tokenizer_sha256": "x" * 64})}, "tokenizer xxxxxxxx"),
        ({"schema_version": 3}, "has schema version 2, this cruxtune writes 3"),
    ],
)
def test_a_directory_of_something_else_is_refused_with_the_difference(tmp_path, changes, expected):
    write(tmp_path / "s", wanted())
    before = (tmp_path / "s" / "manifest.json").read_bytes()
    with pytest.raises(ArtifactError, match=expected + ".*choose another output_dir"):
        is_complete(tmp_path / "s", wanted(**changes))
    with pytest.raises(ArtifactError, match=expected), StageWriter(tmp_path / "s", wanted(**changes)):
        pass
    assert (tmp_path / "s" / "manifest.json").read_bytes() == before
    with StageWriter(tmp_path / "s", wanted()):
        pass


def test_other_versions_of_packages_are_no_difference(tmp_path):
    write(tmp_path / "s", wanted())
    assert is_complete(tmp_path / "s", wanted(versions={"torch": "9"}))


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    with (
        StageWriter(tmp_path / "s", wanted()),
        pytest.raises(ArtifactError, match="another process is writing"),
        StageWriter(tmp_path / "s", wanted()),
    ):
        pass
    with StageWriter(tmp_path / "s", wanted()):
        pass


def test_the_lock_is_free_after_an_error_in_the_block(tmp_path):
    with pytest.raises(ZeroDivisionError), StageWriter(tmp_path / "s", wanted()):
        1 / 0  # noqa: B018
    with StageWriter(tmp_path / "s", wanted()):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ArtifactError, match="can't make the directory"),
        StageWriter(tmp_path / "file" / "s", wanted()),
    ):
        pass
    (tmp_path / "s" / ".lock").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="can't write in"), StageWriter(tmp_path / "s", wanted()):
        pass


def test_equal_contents_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, wanted(versions=installed_versions()))
    for file in ("manifest.json", "weights-00000.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_run_that_was_stopped_ends_with_the_same_bytes(tmp_path):
    write(tmp_path / "one", wanted())
    with pytest.raises(KeyboardInterrupt), StageWriter(tmp_path / "two", wanted()) as writer:
        writer.write_part(0, TokenWeights, WEIGHTS)
        raise KeyboardInterrupt
    with StageWriter(tmp_path / "two", wanted()) as writer:
        writer.finish({"num_tokens": 3})
    assert (tmp_path / "one" / "manifest.json").read_bytes() == (
        tmp_path / "two" / "manifest.json"
    ).read_bytes()


def test_the_digest_follows_the_contents_alone(tmp_path):
    write(tmp_path / "one", wanted())
    write(tmp_path / "two", wanted(settings={"other": 1}, versions={"torch": "9"}))
    write(tmp_path / "three", wanted(), [TokenWeights("a", [0.0, 2.0]), WEIGHTS[1]])
    digests = [read_manifest(tmp_path / name).digest for name in ("one", "two", "three")]
    assert digests[0] == digests[1] != digests[2]


def test_a_manifest_has_no_clock_no_host_and_no_path(tmp_path):
    write(tmp_path / "s", wanted(versions=installed_versions()))
    stored = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert sorted(stored) == [
        "complete",
        "counts",
        "earlier_versions",
        "inputs",
        "model",
        "parts",
        "schema_version",
        "settings",
        "stage",
        "versions",
    ]
    assert str(tmp_path) not in json.dumps(stored)
    assert set(stored["versions"]) <= set(RECORDED_PACKAGES) and "torch" in stored["versions"]
    assert stored["parts"] == [
        {"file": "weights-00000.parquet", "num_rows": 2, "sha256": stored["parts"][0]["sha256"]}
    ]


def test_records_are_frozen():
    response = Response("p", -1, Completion([1], "x", FinishReason.STOP), Grade(Verdict.CORRECT, "x"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        response.sample = 0
