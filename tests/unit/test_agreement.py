"""Agreement of labels: numbers by hand, and laws."""

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.select import Agreement, bootstrap_interval

# 20 yes by both, 5 only by the first, 10 only by the second, 15 by neither: the textbook example
TABLE = Agreement(20, 5, 10, 15)
LABELS = st.lists(st.tuples(st.booleans(), st.booleans()))


def test_a_table_worked_by_hand():
    assert TABLE.count == 50 and TABLE.num_changed == 15
    assert TABLE.flip_rate == pytest.approx(0.3)
    assert TABLE.jaccard == pytest.approx(20 / 35)
    assert (TABLE.first_share, TABLE.second_share) == (0.5, 0.6)
    assert TABLE.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_labels_are_counted_thing_by_thing():
    assert Agreement.of([True, True, False, False, False], [True, False, True, False, False]) == Agreement(
        1, 1, 1, 2
    )
    with pytest.raises(ValueError, match="shorter"):
        Agreement.of([True], [])


def test_what_is_not_defined_is_no_number():
    assert isnan(Agreement().kappa) and isnan(Agreement().flip_rate) and Agreement().jaccard == 1.0
    assert isnan(Agreement(both=3).kappa) and Agreement(neither=3).jaccard == 1.0


@given(LABELS)
def test_agreement_is_symmetric_and_bounded(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    table, mirrored = Agreement.of(first, second), Agreement.of(second, first)
    assert table.jaccard == mirrored.jaccard and 0 <= table.jaccard <= 1
    assert table.kappa == pytest.approx(mirrored.kappa, nan_ok=True)
    assert isnan(table.kappa) or -1 <= table.kappa <= 1 + 1e-9
    if first == second and len(set(first)) == 2:
        assert table.kappa == pytest.approx(1) and table.flip_rate == 0


@given(LABELS, LABELS)
def test_tables_add_up(some, others):
    of = [
        Agreement.of([a for a, _ in pairs], [b for _, b in pairs]) for pairs in (some, others, some + others)
    ]
    assert of[0] + of[1] == of[2]


def test_the_interval_holds_the_value_narrows_with_more_solutions_and_repeats_with_its_seed():
    tables = [Agreement(4, 1, 0, 5), Agreement(2, 0, 1, 7), Agreement(6, 1, 1, 2)] * 4
    low, high = bootstrap_interval(tables, lambda table: table.kappa)
    assert low < Agreement(48, 8, 8, 56).kappa < high
    assert (low, high) == bootstrap_interval(tables, lambda table: table.kappa)
    narrow = bootstrap_interval(tables * 9, lambda table: table.kappa)
    assert narrow[1] - narrow[0] < 0.5 * (high - low)
    assert bootstrap_interval([TABLE] * 3, lambda table: table.kappa) == pytest.approx((0.4, 0.4))
    assert all(map(isnan, bootstrap_interval([], lambda table: table.kappa)))
