"""Accuracies and their errors against hand-computed values, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.evaluate import Estimate, mean_estimate, paired_difference, pass_at, share


def test_pass_at_by_hand():
    # of 4 samples 1 is right: 2 drawn hold it in 3 of 6 pairs; with 2 right, 1 of 6 pairs is without
    assert pass_at(2, 4, np.array([0, 1, 2, 3, 4])) == pytest.approx([0, 1 / 2, 5 / 6, 1, 1])
    assert pass_at(1, 4, np.array([1])) == pytest.approx([1 / 4])
    assert pass_at(4, 4, np.array([0, 1])).tolist() == [0.0, 1.0]


@given(st.integers(1, 7), st.data())
def test_pass_at_is_the_share_of_all_draws_that_hold_a_right_one(num_samples, data):
    n = data.draw(st.integers(1, num_samples))
    right = data.draw(st.integers(0, num_samples))
    samples = [True] * right + [False] * (num_samples - right)
    draws = list(itertools.combinations(samples, n))
    expected = sum(map(any, draws)) / len(draws)
    assert float(pass_at(n, num_samples, np.array(right))) == pytest.approx(expected)


def test_pass_at_keeps_the_shape_of_seeds_and_problems():
    assert pass_at(1, 2, np.array([[0, 1], [2, 2], [1, 0]])).tolist() == [[0, 0.5], [1, 1], [0.5, 0]]


@pytest.mark.parametrize("n", [0, 5])
def test_pass_at_needs_as_many_samples(n):
    with pytest.raises(ValueError, match=f"Pass@{n} needs at least {n} samples, there are 4"):
        pass_at(n, 4, np.array([1]))


def test_one_seed_has_the_classical_error_over_problems():
    scores = np.array([[1.0, 0.0, 0.0, 1.0, 1.0]])
    # mean 0.6; squares 2 * 0.36 + 3 * 0.16 = 1.2; variance 1.2 / 4 = 0.3; of the mean 0.3 / 5
    estimate = mean_estimate(scores)
    assert estimate.value == pytest.approx(0.6)
    assert estimate.standard_error == pytest.approx(math.sqrt(0.06))


def test_two_seeds_by_hand():
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # problem means 1, 1/2, 0: variance 1/4, of their mean 1/12
    # seed means 2/3, 1/3: variance 1/18, of their mean 1/36
    # residuals -1/6 1/3 -1/6 and opposite: squares add up to 1/3, over 1 * 2 degrees and 6 cells 1/36
    estimate = mean_estimate(scores)
    assert estimate.value == 0.5
    assert estimate.standard_error == pytest.approx(math.sqrt(1 / 12 + 1 / 36 - 1 / 36))


def test_seeds_that_agree_add_nothing_to_the_error():
    row = np.array([[1.0, 0.0, 0.0, 1.0]])
    assert mean_estimate(np.repeat(row, 3, axis=0)).standard_error == pytest.approx(
        mean_estimate(row).standard_error
    )


def test_one_problem_leaves_the_error_of_the_seeds():
    scores = np.array([[0.0], [1.0], [1.0], [0.0]])
    assert mean_estimate(scores).standard_error == pytest.approx(math.sqrt((1 / 3) / 4))
    assert mean_estimate(np.array([[1.0]])) == Estimate(1.0, 0.0)


def test_the_error_is_the_spread_of_repeated_experiments():
    generator = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(2000):
        seeds, problems = generator.normal(size=(5, 1)) * 0.1, generator.normal(size=(1, 40)) * 0.4
        scores = 0.5 + seeds + problems + generator.normal(size=(5, 40)) * 0.3
        estimate = mean_estimate(scores)
        means.append(estimate.value)
        errors.append(estimate.standard_error)
    true = math.sqrt(0.1**2 / 5 + 0.4**2 / 40 + 0.3**2 / 200)
    assert np.std(means) == pytest.approx(true, rel=0.05)
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(true, rel=0.05)


def test_a_paired_difference_forgets_what_both_share():
    hard = np.array([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]])
    better = np.array([[1.0, 1.0, 0.0, 1.0, 0.0, 1.0]])
    # differences 1 0 0 0 0 0: mean 1/6, variance (25/36 + 5/36) / 5 = 1/6, of the mean 1/36
    difference = paired_difference(better, hard)
    assert difference.value == pytest.approx(1 / 6)
    assert difference.standard_error == pytest.approx(1 / 6)
    assert difference.standard_error < mean_estimate(better).standard_error


def test_a_baseline_may_have_one_row_for_all_seeds():
    scores = np.array([[1.0, 0.0], [1.0, 1.0]])
    base = np.array([[0.0, 1.0]])
    assert paired_difference(scores, base) == mean_estimate(np.array([[1.0, -1.0], [1.0, 0.0]]))
    assert paired_difference(base, scores).value == -paired_difference(scores, base).value


def test_a_share_of_nothing_is_0():
    assert share([True, False, False, True]) == 0.5
    assert share([]) == 0.0
