"""Estimates of totals: by hand, and against populations that are known."""

from math import inf, sqrt

import numpy as np
import pytest

from cruxtune.stages.forecast import Estimate, formula_tokens, mean, ratio, total_of_some, width


def test_estimates_multiply_and_add_as_independent_ones_do():
    product = Estimate(10, 1) * Estimate(4, 2)
    assert product == Estimate(40, sqrt(4**2 + 20**2))
    assert Estimate(10, 3) + Estimate(1, 4) == Estimate(11, 5)
    assert Estimate(10, 1) * 2 == Estimate(20, 2) and Estimate(10, 1).percent == "± 10 %"


def test_a_ratio_by_hand():
    # 2 for 1, 4 for 2 and 9 for 3: 15 for 6, residuals -0.5, -1, 1.5
    found = ratio([2, 4, 9], [1, 2, 3])
    assert found.value == 2.5 and found.error == pytest.approx(width(2) * sqrt(3.5 * 3 / 2) / 6)
    assert ratio([2, 4, 9], [1, 2, 3], num_all=3) == Estimate(2.5)
    assert ratio([2, 4, 9], [1, 2, 3], num_all=12).error == pytest.approx(found.error * sqrt(3 / 4))
    assert ratio([5], [2]) == Estimate(2.5, inf) and ratio([5], [2]).percent == "± unknown"


@pytest.mark.parametrize(
    ("degrees", "table"), [(2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)]
)
def test_the_width_is_that_of_students_table(degrees, table):
    assert width(degrees) == pytest.approx(table, rel=0.04)


def test_the_formula_counts_what_is_left_of_the_solution_at_every_position():
    assert formula_tokens(4, k=3) == 2 * (4 + 3 + 2 + 1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    generator = np.random.default_rng(0)
    lengths = generator.integers(20, 200, size=400)
    tokens = lengths * generator.uniform(0.4, 1.4, size=400)
    hits = held = 0
    for _ in range(400):
        seen = generator.choice(400, size=60, replace=False)
        found = ratio(tokens[seen].tolist(), lengths[seen].tolist(), 400) * float(lengths.sum())
        hits += abs(found.value - tokens.sum()) <= found.error
        some = generator.choice(400, size=30, replace=False)
        expected = total_of_some(tokens[seen].tolist(), 30)
        held += abs(expected.value - tokens[some].sum()) <= expected.error
    assert 0.92 * 400 < hits < 0.99 * 400
    assert 0.92 * 400 < held < 0.995 * 400
    assert mean(tokens.tolist(), 400) == Estimate(pytest.approx(tokens.mean()))
