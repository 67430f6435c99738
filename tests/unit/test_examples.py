"""What is wrong with the weights is said before any training step."""

import pytest

from cruxtune.errors import SelectionError
from cruxtune.records import Completion, FinishReason, Grade, Origin, Solution, Verdict
from cruxtune.train import make_examples


def solution(num_tokens: int = 3) -> Solution:
    completion = Completion(list(range(10, 10 + num_tokens)), "…", FinishReason.STOP)
    return Solution("s1", "p1", [1, 2], completion, Grade(Verdict.CORRECT, "4"), Origin.GREEDY)


def test_prompt_tokens_weigh_nothing():
    (example,) = make_examples([solution()], {"s1": [1.0, 0.0, 0.5]}, max_length=5)
    assert example.input_ids == [1, 2, 10, 11, 12]
    assert example.loss_weights == [0.0, 0.0, 1.0, 0.0, 0.5]
    assert example.num_prompt_tokens == 2


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({}, "solution s1 has no weights: run `select` again"),
        ({"s1": [1.0]}, "solution s1 has 3 tokens but 1 weights"),
        ({"s1": [1.0, float("nan"), 0.0]}, "a weight that is negative or not a number"),
        ({"s1": [1.0, float("inf"), 0.0]}, "a weight that is negative or not a number"),
        ({"s1": [1.0, -0.5, 0.0]}, "a weight that is negative or not a number"),
        ({"s1": [0.0, 0.0, 0.0]}, "there is nothing to train on"),
    ],
)
def test_bad_weights_are_named(weights, complaint):
    with pytest.raises(SelectionError, match=complaint) as raised:
        make_examples([solution()], weights, max_length=5)
    assert "\n" not in str(raised.value)


def test_an_example_is_never_cut():
    with pytest.raises(SelectionError, match=r"longer than train.max_length = 4, .* 5 tokens"):
        make_examples([solution()], {"s1": [1.0] * 3}, max_length=4)
