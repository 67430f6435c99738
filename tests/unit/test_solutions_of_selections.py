"""On which solutions a selection is made: what is inferred, and what is refused with the remedy."""

import pytest

from cruxtune.errors import RecipeError
from cruxtune.recipe import load_recipe
from cruxtune.recipe.uses import rules_on_evidence, sets_of
from cruxtune.stages.changes import Changes
from cruxtune.stages.shown import marking_rule

SETS = (
    "sample.num_tries=2",
    "solutions={web={type='file', path='web.jsonl'}, other={type='run', path='runs/other'}}",
)


def load(*selections: str):
    return load_recipe("tiny", [*SETS, *(f"select.{selection}" for selection in selections)])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("mine=cft & number", ("greedy",)),
        ("mine={type='all', solutions='web'}", ("web",)),
        ("mine={type='all', solutions=['web', 'sampled', 'greedy']}", ("greedy", "sampled", "web")),
        ("mine=top & number", ("sampled",)),
        ("mine={type='random', match='top - stop'}", ("sampled",)),
        ("mine={type='random', match='top', solutions='web'}", ("web",)),
        ("mine=['top', 'cft']", ("greedy", "sampled")),
        ("mine={type='random', match='both'}", ("greedy", "sampled")),
        ("mine={type='strict', solutions='other'}", ("other",)),
        ("mine={type='tagged', solutions='sampled'}", ("sampled",)),
    ],
)
def test_the_solutions_are_those_that_are_named(selection, expected):
    top = "top={type='score', model='m', share=0.15, solutions='sampled'}"
    recipe = load(selection, top, "both=['cft', 'top']")
    assert sets_of("mine", recipe.select) == expected


@pytest.mark.parametrize(
    ("selections", "said"),
    [
        (["mine={type='strict', solutions='sampled'}"], "sampled solutions have none: take type = 'score'"),
        (["mine={type='union', solutions='web'}"], "web solutions have none: take type = 'score'"),
        (["mine={type='formula', formula='strict3', solutions='web'}"], "select.mine: strict3 is 'strict'"),
        (["mine={type='all', solutions='wbe'}"], "on 'wbe' solutions, which are not there: greedy, sampled"),
        (["mine=all & web", "web={type='all', solutions='web'}", "x=web & cft"], "a list joins such"),
        (["mine={type='formula', formula='cft', solutions='web'}"], "but what it names is on greedy"),
        (["mine=['cft', 'sft']"], "joins two selections of the greedy solutions: combine these in a formula"),
        (["mine=['cft', 'all']"], "select.mine joins 'all', which is not under [select]"),
        (["mine=['cft']"], "at least 2"),
        (["mine=['cft', 'b']", "b=['mine', 'cft']"], "leads back to itself: mine → b → mine"),
        (
            ["mine={type='entropy', match='cft', per='response', solutions='web'}"],
            "can't match 'cft' in each response: that is on greedy solutions, this on web ones",
        ),
        (["mine={type='transferred', selection='cft'}"], "of type 'run' that they are from"),
        (["mine={type='transferred', selection='cft', solutions='web'}"], "of type 'run'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(selections, said):
    with pytest.raises(RecipeError) as refused:
        load(*selections)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_sampled_solutions_are_asked_for_before_they_are_trained_on():
    with pytest.raises(RecipeError, match=r"none are sampled: set sample\.num_tries"):
        load_recipe("tiny", ["select.mine={type='all', solutions='sampled'}"])


def test_names_of_the_models_own_solutions_are_taken():
    with pytest.raises(RecipeError, match=r"solutions\.sampled: these are the model's own"):
        load_recipe("tiny", ["solutions={sampled={type='file', path='x.jsonl'}}"])


def test_rules_on_the_evidence_of_others_mark_nothing_of_the_models_own():
    recipe = load("mine={type='strict', k=5, solutions='other'}", "own={type='strict', k=2}")
    rules = {"mine": recipe.select["mine"], "own": recipe.select["own"]}
    assert list(rules_on_evidence(rules)) == ["own"] == list(Changes(rules).deciding_rules)
    assert marking_rule(recipe.model_copy(update={"select": rules})).k == 2
