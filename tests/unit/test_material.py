"""What selections ask of stored solutions: in the solutions' order, whole, and told where it isn't."""

from types import SimpleNamespace

import numpy as np
import pytest

from cruxtune.errors import ArtifactError
from cruxtune.models import ModelFiles
from cruxtune.records import Position, TokenScores
from cruxtune.stages.material import Material, key_start
from cruxtune.stages.score import Scoring
from cruxtune.store import Manifest, ModelIdentity, StageWriter

IDENTITY = ModelIdentity(name="m", revision=None, weights_sha256="a" * 64, tokenizer_sha256="b" * 64)


@pytest.fixture
def space(tmp_path):
    files = ModelFiles("m", tmp_path)
    return SimpleNamespace(path=tmp_path.joinpath, model=files)


def write(directory, stage, record_type, records):
    manifest = Manifest(stage=stage, settings={}, model=IDENTITY, inputs={}, versions={})
    with StageWriter(directory, manifest) as writer:
        writer.write_part(0, record_type, records)
        writer.finish({})


def position(solution_id, place, probability, entropy):
    return Position(solution_id, place, 1, "x", probability, entropy, 1.0, [], [])


def test_stored_views_come_in_the_order_of_the_solutions(space, make_solution):
    rows = [position("b", 0, 0.5, 1.0), position("c", 0, 0.0, 9.0), position("a", 0, 0.25, 2.0)]
    write(space.path("annotate"), "annotate", Position, [*rows, position("a", 1, 0.75, 3.0)])
    material = Material(space, {"greedy": [make_solution("a", (1, 1)), make_solution("b", (1,))]})
    assert material.probabilities.tolist() == [0.25, 0.75, 0.5]
    assert material.entropies.tolist() == [2.0, 3.0, 1.0]


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5, 0.5], []])
def test_numbers_of_another_length_are_refused(space, make_solution, scores):
    write(space.path("score", "attention"), "score", TokenScores, [TokenScores("a", scores)])
    material = Material(space, {"greedy": [make_solution("a", (1, 1))]})
    with pytest.raises(ArtifactError, match=rf"has {len(scores)} numbers on the 2 tokens of solution a"):
        _ = material.attention


def test_the_bases_view_of_other_solutions_is_what_score_found(space, make_solution, monkeypatch):
    monkeypatch.setattr(Scoring, "directory", lambda own, space: space.path(own.statistic, own.solutions))
    write(space.path("annotate"), "annotate", Position, [position("a", 0, 0.5, 1.0)])
    for statistic, values in (("logprobs", [np.log(0.25), 0.0]), ("entropy", [3.0, 4.0])):
        write(space.path(statistic, "sampled"), "score", TokenScores, [TokenScores("b", values)])
    parts = {"greedy": [make_solution("a", (1,))], "sampled": [make_solution("b", (1, 2))]}
    material = Material(space, parts)
    assert material.probabilities == pytest.approx([0.5, 0.25, 1.0])
    assert material.entropies.tolist() == [1.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("2 + 2 = 4. The answer is 4.", "answer is 4."),
        ("<Thinking>The answer is 3?</Thinking><Answer>4</Answer>", "<Answer>4</Answer>"),
        ("no idea", ""),
    ],
)
def test_the_key_is_the_statement_of_the_answer_or_what_follows_thinking(text, key):
    assert text[key_start(text, "math") :] == key
