"""Held-out problems, and the numbers of a sweep, against hand-made ones."""

import json
import random
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.errors import ProblemError
from cruxtune.problems import hold_out
from cruxtune.records import Problem
from cruxtune.report.results import Scores
from cruxtune.report.trials import TrialRow, best_of, make_row, rows_as_json, rows_as_markdown


def problems_of(questions):
    return [Problem(f"p/{index}", question, "1") for index, question in enumerate(questions)]


@given(st.lists(st.text("abc", max_size=2)), st.integers(1, 5), st.integers(0, 3))
def test_no_question_is_both_held_out_and_left(questions, number, seed):
    problems = problems_of(questions)
    if number >= len(set(questions)):
        with pytest.raises(ProblemError, match="leaves nothing of"):
            hold_out(problems, number, seed)
        return
    left, held_out = hold_out(problems, number, seed)
    assert not {p.question for p in left} & {p.question for p in held_out}
    assert len(held_out) == number == len({p.question for p in held_out})
    assert {p.question for p in [*left, *held_out]} == set(questions)


def test_the_same_questions_are_held_out_in_any_order_and_others_with_another_seed():
    problems = problems_of(map(str, range(100)))
    shuffled = random.Random(0).sample(problems, len(problems))
    first, second, other = (
        {p.question for p in hold_out(ps, 30, seed)[1]}
        for ps, seed in ((problems, 0), (shuffled, 0), (problems, 1))
    )
    assert first == second != other


def row_of(right, point):
    greedy = np.array(right, dtype=float)
    scores = Scores(greedy, np.zeros_like(greedy), 0, 0.0, 0.25, 0, 3.0)
    return make_row("cft", point, scores, [1.0, 3.0])


def test_a_row_is_the_mean_over_seeds_and_problems_with_both_errors():
    row = row_of([[1, 0, 1, 1], [1, 0, 1, 1]], {"learning_rate": 1e-5})
    assert (row.num_seeds, row.num_problems, row.accuracy.value, row.last_loss) == (2, 4, 0.75, 2.0)
    assert row.accuracy.standard_error == pytest.approx(0.25)  # sqrt(var(1, 0, 1, 1) / 4) = sqrt(0.25 / 4)


def test_the_highest_mean_is_chosen_and_of_equal_ones_the_first():
    rows = [row_of([[1, 0]], {"k": 1}), row_of([[1, 1]], {"k": 2}), row_of([[1, 1]], {"k": 3})]
    assert best_of(rows) is rows[1]


def test_rows_survive_json_and_stand_in_the_table():
    rows = [row_of([[1, 0]], {"learning_rate": 2e-6, "batch_size": 16})]
    back = [TrialRow.from_json(values) for values in json.loads(json.dumps(rows_as_json(rows)))]
    assert [asdict(row) for row in back] == [asdict(row) for row in rows]
    *_, line = rows_as_markdown(rows).splitlines()
    assert line == "| cft | learning_rate 2e-06, batch_size 16 | 1 | 50.0 ± 50.0 | 25.0 % | 2.000 |  |"
