"""What lint finds in weights, each mistake made by hand."""

import sys

import pytest

from cruxtune.records import Completion, Example, FinishReason, Grade, Origin, Solution, Verdict
from cruxtune.stages.lint import examine


def solution(id: str, num_tokens: int = 3, reason: FinishReason = FinishReason.STOP) -> Solution:
    completion = Completion(list(range(num_tokens)), "", reason)
    return Solution(id, id, [7, 8], completion, Grade(Verdict.CORRECT, "3"), Origin.GREEDY)


def test_sound_weights_give_nothing_to_say():
    found = examine("cft", [solution("a"), solution("b")], {"a": [0.0, 1.0, 1.0], "b": [2.0, 0.0, 0.0]}, 5)
    assert (found.errors, found.warnings) == ([], [])
    assert (found.num_solutions, found.num_stops, found.num_stops_selected) == (2, 2, 1)


@pytest.mark.parametrize(
    ("own", "what"),
    [
        ({}, "has no weights"),
        ({"a": [1.0, 1.0]}, "has 3 tokens but 2 weights"),
        ({"a": [0.0, 0.0]}, "has 3 tokens but 2 weights"),
        ({"a": []}, "has 3 tokens but 0 weights"),
        ({"a": [0.0, 0.0, 1.0, 1.0, 1.0]}, "has 3 tokens but 5 weights"),
        ({"a": [1.0, float("nan"), 1.0]}, "negative or not a number"),
        ({"a": [1.0, -1.0, 1.0]}, "negative or not a number"),
    ],
)
def test_weights_that_do_not_fit_are_errors(own, what):
    found = examine("cft", [solution("a"), solution("b")], {**own, "b": [1.0, 1.0, 1.0]}, 5)
    assert found.num_misaligned == 1
    assert found.errors[0].startswith("1 weights don't fit: solution a") and what in found.errors[0]


def test_texts_beyond_the_limit_are_errors():
    found = examine("cft", [solution("a"), solution("b", 4)], {"a": [1.0] * 3, "b": [1.0] * 4}, 5)
    assert found.errors == ["1 longer than train.max_length"]


def test_solutions_without_a_selected_token_are_told():
    found = examine("cft", [solution("a"), solution("b")], {"a": [0.0] * 3, "b": [1.0] * 3}, 5)
    assert found.errors == [] and found.warnings == ["1 without any selected token"]


def test_a_stop_token_that_is_never_selected_is_told():
    found = examine("cft", [solution("a")], {"a": [1.0, 1.0, 0.0]}, 5)
    assert found.warnings == [
        "the stop token is selected in 0 of 1: a model that never trains on it can forget to stop"
    ]
    cut = solution("a", reason=FinishReason.SETTLED)
    assert examine("cft", [cut], {"a": [1.0, 1.0, 0.0]}, 5).warnings == []


def test_a_builder_that_lets_prompts_count_is_found_out(monkeypatch):
    def leaky(solutions, weights, max_length):
        (only,) = solutions
        return [Example([*only.prompt_ids, *only.completion.token_ids], [0.0, 1.0, *weights[only.id]])]

    monkeypatch.setattr(sys.modules["cruxtune.stages.lint"], "make_examples", leaky)
    assert examine("cft", [solution("a")], {"a": [1.0] * 3}, 5).errors == ["1 prompt tokens are selected"]
