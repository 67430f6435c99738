"""Selections that ask the checkpoint of a run of their own recipe."""

import pytest

from cruxtune.errors import RecipeError
from cruxtune.recipe import parse_recipe
from cruxtune.recipe.teachers import find_teacher

TEXT = """
[problems]
type = "synthetic"
[select]
sft = { type = "all" }
cft = { type = "strict" }
random = { type = "random", match = "cft" }
first = { type = "score", model = "late-seed1", share = 0.15 }
second = { type = "score", model = "first-seed0", match = "random" }
elsewhere = { type = "score", model = "runs/other/train/cft-seed0/model", share = 0.1 }
[train]
selections = ["sft", "second"]
[train.methods]
late = { selection = "cft", after = "sft" }
[evaluate.benchmarks]
test = { type = "synthetic", split = "test" }
"""


def test_a_run_is_known_by_its_method_and_seed():
    recipe = parse_recipe(TEXT)
    assert find_teacher("late-seed12", recipe.select, recipe.train) == ("late", 12)
    for name in ("late", "late-seedling", "tardy-seed1", "runs/other/train/cft-seed0/model"):
        assert find_teacher(name, recipe.select, recipe.train) is None


def test_teachers_come_in_the_order_in_which_they_are_needed():
    early, later = parse_recipe(TEXT).teachers()
    assert (early.train.selections, early.train.seeds) == (("late",), (1,))
    assert (later.train.selections, later.train.seeds) == (("first",), (0,))


def test_a_teacher_is_selected_with_what_it_needs_and_no_more():
    early, later = parse_recipe(TEXT).teachers()
    assert set(early.select) == {"cft", "sft"}
    assert set(later.select) == {"first", "cft", "sft"}


def test_a_recipe_without_such_selections_has_no_teachers():
    assert parse_recipe(TEXT, ["select.first=cft", "select.second=cft"]).teachers() == []


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("select.cft={type='score', model='late-seed0', share=0.1}", "cft → cft"),
        ("select.sft={type='score', model='second-seed0', share=0.1}", "sft → second → first → sft"),
    ],
)
def test_a_selection_can_not_ask_what_is_trained_on_it(override, path):
    with pytest.raises(RecipeError, match=f"asks a model that is trained on it: .*{path}"):
        parse_recipe(TEXT, [override])
