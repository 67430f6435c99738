"""What a recipe has from those that it extends."""

from pathlib import Path

import pytest

from cruxtune.errors import RecipeError
from cruxtune.recipe import load_recipe, parse_recipe, shipped_recipes
from cruxtune.recipe.rules import AllTokens, StrictRule
from cruxtune.recipe.sources import FileProblems

BASE = """
name = "base"
output_dir = "elsewhere"
[problems]
type = "synthetic"
num_problems = 7
[select]
sft = { type = "all" }
cft = { type = "strict" }
[train]
selections = ["sft", "cft"]
num_epochs = 2
[evaluate.benchmarks]
test = { type = "synthetic", split = "test", num_problems = 5 }
"""


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)


def test_what_a_file_says_goes_over_what_it_extends(tmp_path):
    write(tmp_path, base=BASE, own='extends = "base.toml"\n[train]\nselections = ["cft"]\nbatch_size = 32')
    recipe = load_recipe(tmp_path / "own.toml")
    assert recipe.train.selections == ("cft",)
    assert (recipe.train.num_epochs, recipe.train.batch_size, recipe.problems.num_problems) == (2, 32, 7)


def test_name_and_place_are_its_own(tmp_path):
    write(tmp_path, base=BASE, own='extends = "base.toml"')
    recipe = load_recipe(tmp_path / "own.toml")
    assert (recipe.name, recipe.output_dir) == ("own", Path("runs/own"))
    assert load_recipe("tiny/cft").output_dir == Path("runs/tiny-cft")


def test_a_later_one_of_several_goes_over_an_earlier_one(tmp_path):
    other = """
[select]
cft = { k = 2 }
more = "cft & number"
[evaluate.benchmarks]
test = { num_problems = 9 }
"""
    write(tmp_path, base=BASE, other=other, own='extends = ["base.toml", "other.toml"]')
    recipe = load_recipe(tmp_path / "own.toml")
    assert list(recipe.select) == ["sft", "cft", "more"]
    assert recipe.select["sft"] == AllTokens() and recipe.select["cft"] == StrictRule(k=2)
    assert recipe.evaluate.benchmarks["test"].num_problems == 9


def test_a_section_of_another_type_has_nothing_of_the_old_one(tmp_path):
    own = 'extends = "base.toml"\n[problems]\ntype = "file"\npath = "x.jsonl"'
    write(tmp_path, base=BASE, own=own)
    assert load_recipe(tmp_path / "own.toml").problems == FileProblems(path=Path("x.jsonl"))


def test_overrides_go_over_all(tmp_path):
    write(tmp_path, base=BASE, own='extends = "base.toml"\n[train]\nbatch_size = 32')
    assert load_recipe(tmp_path / "own.toml", ["train.batch_size=64"]).train.batch_size == 64


def test_a_text_extends_what_ships():
    recipe = parse_recipe('extends = "tiny"\n[annotate]\nnum_solutions = 3')
    assert recipe.annotate.num_solutions == 3 and recipe.name == "run"
    assert recipe.select == load_recipe("tiny").select


def test_a_path_goes_from_the_folder_of_the_file_that_says_it(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    write(tmp_path, base=BASE)
    write(tmp_path / "deep", own='extends = "../base.toml"')
    monkeypatch.chdir(tmp_path)
    assert load_recipe("deep/own.toml").train.num_epochs == 2


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ('extends = "own.toml"', "a recipe can't extend itself: .*own.toml → .*own.toml"),
        ('extends = "other.toml"', "a recipe can't extend itself: .*own.toml → .*other.toml → .*own.toml"),
        ('extends = "tiny/cff"', r"no recipe file 'tiny/cff'.*\(tiny/cft"),
        ("extends = 3", r"`extends` is the name of a recipe, or a list of names \(found 3\)"),
        ('extends = ["base.toml", 3]', "`extends` is the name of a recipe, or a list"),
    ],
)
def test_what_can_not_be_extended_is_refused_in_a_line(tmp_path, own, said):
    write(tmp_path, base=BASE, own=own, other='extends = "own.toml"')
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(tmp_path / "own.toml")
    assert "\n" not in str(caught.value)


def test_what_ships_is_known_by_folder_and_name():
    assert {"tiny", "tiny/cft", "paper/qwen2.5-7b"} <= set(shipped_recipes())


def test_all_methods_of_the_tiny_model_are_compared():
    every = load_recipe("tiny-methods")
    alone = [load_recipe(name) for name in shipped_recipes() if name.startswith("tiny/")]
    for recipe in alone:
        assert set(recipe.train.selections) <= set(every.train.selections), recipe.name
        for name in recipe.train.selections:
            own, whole = recipe.train, every.train
            selection = own.selection_of(name)
            assert recipe.select[selection] == every.select[selection]
            assert (own.line(name), own.selection_of(name), own.of(name).objective) == (
                whole.line(name),
                whole.selection_of(name),
                whole.of(name).objective,
            )
