"""Evidence on its way to disk: stopped anywhere, it ends as if it had not been stopped."""

from itertools import islice

import pytest

from cruxtune.counterfactual import Annotator
from cruxtune.engines import Decoding
from cruxtune.recipe.sections import AnnotateSection
from cruxtune.records import Position, Problem, Rollout
from cruxtune.stages.evidence import in_random_order
from cruxtune.stages.harvest import Harvest
from cruxtune.store import Manifest, ModelIdentity, StageWriter, parts_of, read_part
from cruxtune.verify import Verifier

MANIFEST = Manifest(
    stage="annotate",
    settings={},
    model=ModelIdentity(name="m", revision=None, weights_sha256="w", tokenizer_sha256="t"),
    inputs={},
    versions={},
)
SETTINGS = AnnotateSection(part_size=2, mode="lazy")
NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def engine(tiny_files):
    from cruxtune.engines.loading import load_both
    from cruxtune.engines.reference import ReferenceEngine
    from cruxtune.models import find_model

    model, tokenizer = load_both(
        find_model(str(tiny_files)),
        trust_remote_code=False,
        dtype="float32",
        device="cpu",
        attn_implementation=None,
    )
    return ReferenceEngine(model, tokenizer, batch_size=3)


@pytest.fixture(scope="module")
def annotator(engine):
    with Verifier() as verifier:
        yield Annotator(engine, verifier, Decoding(8))


@pytest.fixture
def solutions(make_solution):
    return [make_solution(name, token_ids=range(30 + n, 34 + 2 * n)) for n, name in enumerate(NAMES)]


def open_harvest(writer, solutions) -> Harvest:
    parts = list(parts_of(solutions, SETTINGS.part_size))
    return Harvest(writer, SETTINGS, parts, {s.id: Problem(s.id, "?", "3") for s in solutions})


def work(directory, annotator, solutions, num_news=None, flushes=True) -> list[Rollout]:
    """Annotate until there is nothing left, or for so many news; returns the rollouts that were made."""
    made: list[Rollout] = []
    with StageWriter(directory, MANIFEST) as writer:
        harvest = open_harvest(writer, solutions)
        for news in islice(annotator.annotate(harvest.tasks()), num_news):
            harvest.take(news)
            made += news.rollouts
        if flushes:
            harvest.flush()
        if harvest.is_whole:
            harvest.finish()
            writer.finish({})
    return made


def contents(directory) -> dict[str, bytes]:
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def places(rollouts) -> list[tuple[str, int, int]]:
    return [(r.solution_id, r.branch.position, r.branch.rank) for r in rollouts]


@pytest.mark.parametrize("num_news", [1, 2, 5])
def test_stopped_again_and_again_it_ends_with_the_same_bytes_and_no_rollout_is_made_twice(
    annotator, solutions, tmp_path, num_news
):
    whole = work(tmp_path / "whole", annotator, solutions)
    pieces: list[Rollout] = []
    while (piece := work(tmp_path / "pieces", annotator, solutions, num_news)) or not pieces:
        pieces += piece
    assert len(set(places(pieces))) == len(pieces) == len(whole) == 2 * 30
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")
    assert "journal" not in {path.name for path in (tmp_path / "pieces").iterdir()}


def test_what_was_not_flushed_is_made_again(annotator, solutions, tmp_path):
    whole = work(tmp_path / "whole", annotator, solutions)
    work(tmp_path / "pieces", annotator, solutions, 3)
    lost = work(tmp_path / "pieces", annotator, solutions, 2, flushes=False)
    rest = work(tmp_path / "pieces", annotator, solutions)
    assert lost and set(places(lost)) & set(places(rest))
    assert len(rest) < len(whole)
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")


@pytest.mark.parametrize("table", ["positions", "rollouts"])
def test_a_damaged_journal_file_is_made_good(annotator, solutions, tmp_path, caplog, table):
    work(tmp_path / "whole", annotator, solutions)
    work(tmp_path / "pieces", annotator, solutions, 3)
    torn = next((tmp_path / "pieces" / "journal").rglob(f"{table}-*.parquet"))
    torn.write_bytes(torn.read_bytes()[:-30])
    work(tmp_path / "pieces", annotator, solutions)
    assert "is damaged" in caplog.text
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")


def test_what_is_usable_is_the_longest_finished_beginning(annotator, solutions, tmp_path):
    with StageWriter(tmp_path / "s", MANIFEST) as writer:
        harvest = open_harvest(writer, solutions)
        tasks = {task.solution.id: task for task in harvest.tasks()}
        for name, usable in (("b", 0), ("d", 0), ("a", 2), ("e", 2), ("c", 5)):
            for news in annotator.annotate([tasks[name]]):
                harvest.take(news)
            assert harvest.num_usable == usable
        assert harvest.is_whole


def test_the_beginning_of_a_part_is_written_and_goes_when_the_part_is_whole(annotator, solutions, tmp_path):
    work(tmp_path / "whole", annotator, solutions)
    with StageWriter(tmp_path / "s", MANIFEST) as writer:
        harvest = open_harvest(writer, solutions)
        for news in annotator.annotate(task for task in list(harvest.tasks())[:3]):
            harvest.take(news)
        assert harvest.write_beginning() == [0]
        harvest.flush()
        manifest = writer.pause({"num_solutions": 3}, [0])
    assert manifest.is_usable and not manifest.complete
    assert [part.file for part in manifest.parts] == [
        "positions-00000.parquet",
        "positions-00001.partial.parquet",
        "rollouts-00000.parquet",
        "rollouts-00001.partial.parquet",
    ]
    assert {position.solution_id for position in read_part(tmp_path / "s", 1, Position)} == {"c"}
    work(tmp_path / "s", annotator, solutions)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_of_a_solution_that_is_too_long_now_nothing_is_written(
    annotator, engine, solutions, tmp_path, monkeypatch, caplog
):
    work(tmp_path / "whole", annotator, solutions)
    with StageWriter(tmp_path / "pieces", MANIFEST) as writer:
        harvest = open_harvest(writer, solutions)
        (last,) = [task for task in harvest.tasks() if task.solution.id == "e"]
        (news,) = islice(annotator.annotate([last]), 1)
        harvest.take(news)
        harvest.flush()
    assert len(news.positions) == 8 and news.rollouts
    monkeypatch.setattr(engine, "context_length", 2 + 7)
    work(tmp_path / "pieces", annotator, solutions)
    assert "e is longer than the engine's context and is left out" in caplog.text
    for index, names in enumerate(["ab", "cd"]):
        part = read_part(tmp_path / "pieces", index, Position)
        assert part == read_part(tmp_path / "whole", index, Position)
        assert {r.solution_id for r in read_part(tmp_path / "pieces", index, Rollout)} == set(names)
    assert read_part(tmp_path / "pieces", 2, Position) == read_part(tmp_path / "pieces", 2, Rollout) == []


def test_the_order_is_random_and_that_of_two_solutions_is_the_same_in_any_company(make_solution):
    solutions = [make_solution(str(number)) for number in range(400)]
    order = [int(s.id) for s in in_random_order(solutions, seed=0)]
    assert sorted(order) == list(range(400)) != order
    assert 170 < sum(order[:200]) / 200 < 230, "the first half is a fair sample"
    assert [int(s.id) for s in in_random_order(solutions, seed=1)] != order
    some = [int(s.id) for s in in_random_order(solutions[::3], seed=0)]
    assert some == [number for number in order if number % 3 == 0]
