"""From graded responses to the rows of a table, on a hand example."""

import math
from io import StringIO

import pytest
from rich.console import Console

from cruxtune.evaluate import Estimate
from cruxtune.records import Completion, FinishReason, Grade, Response, Verdict
from cruxtune.report.results import make_row, score
from cruxtune.report.tables import markdown_table, percent, terminal_table

C, W, N, T, U = (
    Verdict.CORRECT,
    Verdict.INCORRECT,
    Verdict.NO_ANSWER,
    Verdict.TRUNCATED,
    Verdict.UNGRADED,
)


def responses(*problems: tuple[Verdict, ...]) -> list[Response]:
    """The greedy verdict of each problem, then those of its samples; as stored: sample by sample."""
    return [
        Response(
            f"p{index}", column - 1, Completion([1, 2], "x", FinishReason.STOP), Grade(verdicts[column], None)
        )
        for column in range(len(problems[0]))
        for index, verdicts in enumerate(problems)
    ]


METHOD = [responses((C, C, W), (W, C, C), (N, T, U)), responses((C, W, W), (C, C, C), (W, W, W))]
BASE = [responses((W, W, W), (C, C, W), (W, W, W))]


def test_scores_are_counted_by_seed_and_problem():
    scores = score(METHOD)
    assert scores.greedy.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert scores.num_correct.tolist() == [[1, 2, 0], [0, 2, 0]]
    assert scores.num_samples == 2
    assert scores.no_answer == pytest.approx(1 / 18)
    assert scores.truncated == pytest.approx(1 / 18)
    assert scores.ungraded == 1
    assert scores.mean_tokens == 2
    assert scores.pass_at(1).tolist() == [[0.5, 1, 0], [0, 1, 0]]
    assert scores.pass_at(2).tolist() == [[1, 1, 0], [0, 1, 0]]


def test_a_row_holds_the_estimates_and_the_gain_over_the_baseline():
    row = make_row("cft", "test", score(METHOD), score(BASE))
    assert (row.method, row.benchmark, row.num_seeds, row.num_problems) == ("cft", "test", 2, 3)
    assert row.greedy.value == pytest.approx(1 / 2)
    assert row.gain is not None and row.gain.value == pytest.approx(1 / 2 - 1 / 3)
    assert row.sampled is not None and row.sampled.value == pytest.approx(2.5 / 6)
    assert row.sampled_gain is not None and row.sampled_gain.value == pytest.approx(2.5 / 6 - 0.5 / 3)
    assert row.pass_at_most is not None and row.pass_at_most.value == pytest.approx(3 / 6)


def test_the_baseline_has_no_gain_and_greedy_evaluation_no_samples():
    row = make_row("base", "test", score([responses((C,), (W,))]), None)
    assert row.gain is row.sampled is row.pass_at_most is row.sampled_gain is None
    assert row.greedy.value == 0.5
    assert row.greedy.standard_error == pytest.approx(math.sqrt(0.5 / 2))


def test_percents_have_their_standard_error():
    assert percent(Estimate(0.6134, 0.0118)) == "61.3 ± 1.2"
    assert percent(Estimate(0.05, 0.01), is_signed=True) == "+5.0 ± 1.0"
    assert percent(Estimate(-0.05, 0.01), is_signed=True) == "-5.0 ± 1.0"
    assert percent(None) == "–"


def test_the_markdown_table_is_this():
    base, method = score(BASE), score(METHOD)
    rows = [make_row("base", "test", base, None), make_row("cft", "test", method, base)]
    assert markdown_table(rows, {"cft": 0.125}, "base", 2).splitlines() == [
        "| method | tokens | greedy | greedy − base | Pass@1 | Pass@1 − base | Pass@2 "
        "| no answer | cut off |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| base | – | 33.3 ± 33.3 | – | 16.7 ± 16.7 | – | 33.3 ± 33.3 | 0.0 % | 0.0 % |",
        "| cft | 12.5 % | 50.0 ± 28.9 | +16.7 ± 44.1 | 41.7 ± 30.0 | +25.0 ± 14.4 | 50.0 ± 28.9 "
        "| 5.6 % | 5.6 % |",
    ]


def test_the_terminal_table_shows_names_as_they_are():
    row = make_row("cft[red]", "test[b]", score(METHOD), score(BASE))
    console = Console(width=200, file=StringIO())
    console.print(terminal_table([row], {}, "base", 2))
    text = console.file.getvalue()
    assert "cft[red]" in text and "test[b]: 3 problems, seeds: 2" in text


def test_without_samples_no_column_speaks_of_them():
    row = make_row("base", "test", score([responses((C,), (W,))]), None)
    assert "Pass@" not in markdown_table([row], {}, "base", 0)
