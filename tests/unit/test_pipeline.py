"""Which stages a recipe walks through."""

import pytest

from cruxtune.pipeline import STAGES, stages_of
from cruxtune.recipe import load_recipe


@pytest.mark.parametrize(
    ("selection", "asks"),
    [
        ("entropy@0.1 & cft", False),
        ("cft & attention@0.1", True),
        ("{type='attention', match='cft'}", True),
        ("{type='excess_loss', model='tiny', share=0.5}", True),
        ("{type='random', match='attention@0.1'}", True),
    ],
)
def test_scores_are_made_only_where_a_selection_asks_a_model(selection, asks):
    stages = stages_of(load_recipe("tiny", [f"select.mine={selection}"]))
    optional = {"score": asks, "sample": False, "gather": False, "sweep": False}
    assert stages == [verb for verb in STAGES if optional.get(verb, True)]


@pytest.mark.parametrize(
    ("selection", "solutions", "asks"),
    [
        ("entropy", "greedy", False),
        ("entropy", "sampled", True),
        ("low_confidence", "sampled", True),
        ("random", "sampled", False),
    ],
)
def test_of_solutions_without_evidence_the_base_is_asked_by_score(selection, solutions, asks):
    rule = f"{{type='{selection}', share=0.1, solutions='{solutions}'}}"
    stages = stages_of(load_recipe("tiny", ["sample.num_tries=2", f"select.mine={rule}"]))
    assert ("score" in stages) is asks


def test_problems_are_sampled_only_where_tries_are_asked_for():
    assert "sample" not in stages_of(load_recipe("tiny"))
    assert stages_of(load_recipe("tiny", ["sample.num_tries=100"]))[:3] == ["solve", "sample", "annotate"]
