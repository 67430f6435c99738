"""Two runs compared: shares and classes of margins by hand."""

from dataclasses import replace
from math import inf

import pytest

from cruxtune.records import Completion, FinishReason, Verdict
from cruxtune.select import Agreement
from cruxtune.stages.stability import Rerun, Stability, by_margin

RIGHT, WRONG, NONE = Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER


@pytest.fixture
def stability(make_rollout):
    def rerun(before, after, margin, differs):
        first, second = make_rollout(0, 2, before), make_rollout(0, 2, after)
        other = Completion([102, 6], "x z", FinishReason.STOP)
        return Rerun(first, replace(second, continuation=other) if differs else second, margin)

    reruns = [
        rerun(RIGHT, WRONG, 0.001, True),
        rerun(RIGHT, RIGHT, 0.005, True),
        rerun(WRONG, NONE, 0.009, True),
        rerun(RIGHT, RIGHT, 0.05, False),
        rerun(WRONG, RIGHT, 0.01, True),
        rerun(RIGHT, RIGHT, 3.0, False),
        rerun(RIGHT, RIGHT, inf, False),
        rerun(RIGHT, RIGHT, 0.0, False),
    ]
    return Stability({"engine": "reference"}, 4, reruns, {"strict": [Agreement(1, 1, 0, 2)]})


def test_shares_by_hand(stability):
    found = stability.as_json()
    assert found["share_different"] == 4 / 8
    assert found["share_flipped"] == 2 / 8  # one failure for another is no flip
    assert [(m["below"], m["num_rollouts"], m["share_flipped"]) for m in found["margins"]] == [
        (0.01, 4, 1 / 4),
        (0.1, 2, 1 / 2),
        (None, 2, 0),
    ]
    assert found["labels"]["strict"]["num_changed"] == 1


def test_near_ties_and_changes_are_marked(stability):
    assert [rerun.margin for rerun in stability.marked] == [0.001, 0.005, 0.009, 0.01, 0.0]
    assert stability.marked[0].as_json()["texts"] == ["x y", "x z"]


def test_the_table_has_a_row_a_class(stability):
    lines = stability.as_markdown().splitlines()
    assert lines[-3:] == [
        "| below 0.01 | 4 | 75.00% | 25.00% |",
        "| below 0.1 | 2 | 50.00% | 50.00% |",
        "| more | 2 | 0.00% | 0.00% |",
    ]
    assert all(not reruns for reruns in by_margin([]).values())
