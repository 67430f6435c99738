"""What the benchmarks compute: models of the same function, sums from samples, agreement."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import annotate
from annotation.agreement import compare, require_same_labels
from annotation.job import Outcome
from annotation.meter import Meter, scaled_up
from annotation.methods import is_chosen, methods_named
from annotation.tables import Table, to_markdown, to_numbers
from cruxtune.engines.loading import load_model
from cruxtune.models import find_model
from workload import widened

SAME = Outcome(
    seconds=8.0,
    rollouts=2,
    rollout_tokens=4,
    forward_tokens=10,
    peak_gib=None,
    completions={"s 0 2": [1, 2], "s 0 3": [3, 4]},
    labels={"s": ["critical"]},
)
OTHER = replace(SAME, seconds=2.0, completions={"s 0 2": [1, 9]}, labels={"s": ["not_critical"]})
SAMPLE = replace(SAME, completions={"s 0 2": [1, 2]}, labels=None, seconds_error=0.5)


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (2, 2)])
def test_a_larger_model_computes_the_same(shape):
    tiny = load_model(find_model("tiny"), device="cpu")
    larger = widened(tiny, *shape)
    ids = torch.arange(5, 105).view(2, 50)
    with torch.inference_mode():
        torch.testing.assert_close(larger(ids).logits, tiny(ids).logits, atol=2e-4, rtol=1e-4)
    num_inner = [sum(p.numel() for p in model.model.layers.parameters()) for model in (larger, tiny)]
    assert num_inner[0] > 1.9 * num_inner[1]


def test_equal_outcomes_agree():
    agreements = compare({"batched": SAME, "trunk": SAME, "alone": SAMPLE})
    assert [(a.has_same_labels, a.num_differing, a.num_compared) for a in agreements] == [
        (True, 0, 2),
        (True, 0, 2),
        (None, 0, 1),
    ]
    require_same_labels(agreements)


@pytest.mark.parametrize("reference", ["batched", "batches"])
def test_other_labels_end_the_program(reference):
    agreements = compare({"alone": SAMPLE, reference: SAME, "lazy": OTHER})
    assert agreements[-1].num_differing == agreements[-1].num_compared == 1
    assert "OTHER LABELS, 1 of 1" in str(agreements[-1])
    with pytest.raises(SystemExit, match="not the same labels: lazy") as stopped:
        require_same_labels(agreements)
    assert stopped.value.code


def test_the_program_fails_after_it_has_written_what_it_found(tmp_path, monkeypatch):
    outcomes = {"batched": SAME, "trunk": OTHER}
    table = Table("1x1", 10**6, [1], 9, outcomes, compare(outcomes))
    monkeypatch.setattr(annotate, "measure_all", lambda options: iter([table]))
    monkeypatch.setattr("sys.argv", ["annotate.py", "--output", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit, match="not the same labels: trunk"):
        annotate.main()
    assert "trunk: OTHER LABELS" in (tmp_path / "out.md").read_text(encoding="utf-8")


def test_a_missing_solution_is_another_label():
    (_, missing) = compare({"batched": SAME, "trunk": replace(SAME, labels={}, completions={})})
    assert missing.has_same_labels is False and missing.num_compared == 0


def test_a_branch_may_differ_where_labels_do_not():
    (_, differing) = compare({"batched": SAME, "vllm": replace(OTHER, labels=SAME.labels)})
    assert differing.has_same_labels and differing.num_differing == 1
    require_same_labels([differing])


def test_a_sum_from_a_sample_keeps_what_was_measured_once():
    found = scaled_up(total=11.0, sample=[1.0, 2.0, 3.0], num_all=12)
    assert found.total == 5.0 + 12 * 2.0
    assert found.error == pytest.approx(12 * 1.0 / 3**0.5 * 0.75**0.5)


def test_a_whole_sample_has_no_error():
    found = scaled_up(total=7.0, sample=[1.0, 3.0], num_all=2)
    assert (found.total, found.error) == (7.0, 0.0)


@pytest.mark.parametrize(("num_chosen", "num_all"), [(200, 3700), (7, 10), (10, 10)])
def test_a_sample_is_spread_evenly(num_chosen, num_all):
    chosen = [number for number in range(num_all) if is_chosen(number, num_chosen, num_all)]
    gaps = {b - a for a, b in pairwise(chosen)}
    assert len(chosen) == num_chosen
    assert max(gaps) - min(gaps) <= 1


def test_a_meter_counts_tokens_and_takes_readings():
    model = torch.nn.Embedding(10, 2)
    model.forward = lambda input_ids: input_ids  # type: ignore[method-assign]
    meter = Meter(model)
    model(torch.zeros(2, 3))
    with meter.reading():
        model(input_ids=torch.zeros(1, 5))
    assert meter.forward_tokens == 11
    assert [reading.forward_tokens for reading in meter.readings] == [5]


def test_groups_of_methods_are_taken_apart():
    assert methods_named(["lazy", "plain", "alone"]) == ["alone", "batched", "batches", "lazy"]


def test_a_table_tells_speed_up_error_and_sample():
    outcomes = {"alone": SAMPLE, "batched": SAME, "lazy": OTHER}
    table = Table("1x1", 10**6, [1], 9, outcomes, compare(outcomes))
    assert [numbers["speed_up"] for numbers in to_numbers(table)["methods"]] == [1.0, 1.0, 4.0]
    lines = to_markdown(table).splitlines()
    assert "1 branches, scaled up | 8.0 ± 0.5 | 1.0× | 2 |" in lines[4]
    assert "| 2.0 | 4.0× | 2 | 2 | 10 | |" in lines[6]


def test_without_the_batched_scheme_there_is_no_speed_up():
    table = Table("1x1", 10**6, [1], 9, {"lazy": OTHER}, compare({"lazy": OTHER}))
    assert to_numbers(table)["methods"][0]["speed_up"] is None
    assert "nan" not in to_markdown(table)


def test_no_file_of_the_benchmarks_is_long():
    files = list((Path(__file__).parents[2] / "benchmarks").rglob("*.py"))
    assert len(files) > 10
    assert [path.name for path in files if len(path.read_text(encoding="utf-8").splitlines()) >= 200] == []
