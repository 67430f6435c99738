"""The terms on which a stage is run, as people write them."""

import time

import pytest

from cruxtune.errors import RecipeError
from cruxtune.stages.terms import WHOLE, Shard, Terms, parse_budget, parse_shard

PARTS = [(index, "x") for index in range(7)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0)],
)
def test_a_budget_is_read_in_hours_minutes_and_seconds(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "30m1h", "-1h", "1h 30m", "two hours"])
def test_a_budget_that_is_none_is_refused(text):
    with pytest.raises(RecipeError, match="write it as 90s, 30m, 2h or 1h30m"):
        parse_budget(text)


def test_shards_take_every_part_once():
    shards = [parse_shard(f"{index}/3") for index in range(3)]
    taken = [part for shard in shards for part in Terms(shard=shard).own(PARTS)]
    assert sorted(taken) == PARTS == WHOLE.own(PARTS)
    assert [index for index, _ in Terms(shard=Shard(1, 3)).own(PARTS)] == [1, 4]


@pytest.mark.parametrize("text", ["3/3", "4/3", "0/0", "1", "a/b", "-1/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(RecipeError, match="--shard"):
        parse_shard(text)


def test_time_counts_from_the_start_of_the_stage():
    assert not WHOLE.from_now().is_over
    assert Terms(budget=0.0).from_now().is_over
    late = Terms(budget=60.0, began=time.monotonic() - 61)
    assert late.is_over and not late.from_now().is_over
