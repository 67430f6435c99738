"""Every kind of selection on one hand example of two solutions."""

from types import SimpleNamespace

import numpy as np
import pytest

from cruxtune.errors import SelectionError
from cruxtune.recipe import parse_recipe
from cruxtune.records import Verdict
from cruxtune.select import Evidence, Outcome
from cruxtune.stages.score import Scoring
from cruxtune.stages.weigh import Weigher

R, W = Verdict.CORRECT, Verdict.INCORRECT


def evidence(*pairs: tuple[Verdict, Verdict]) -> Evidence:
    outcomes = {
        position: {2: Outcome(0.2, second), 3: Outcome(0.1, third)}
        for position, (second, third) in enumerate(pairs)
    }
    return Evidence("s", len(pairs), outcomes)


PIECES = [[b"So", b" 3", b" +", b" 4", b" =", b" 7", b""], [b"x", b" 9", b"."]]
ATTENTION = [0.1, 0.4, 0.2, 0.3, 0.1, 0.5, 0.0, 0.2, 0.6, 0.0]
BASE = [0.5, 0.9, 0.6, 0.8, 0.6, 0.7, 1.0, 0.25, 0.6, 0.95]
OTHER = [0.6, 0.95, 0.5, 0.9, 0.6, 0.95, 1.0, 0.5, 0.6, 0.9]
SCORES = {Scoring(): np.array(ATTENTION), Scoring("other"): np.log(OTHER)}

MATERIAL = SimpleNamespace(
    lengths=[7, 3],
    num_tokens=10,
    has_stopped=[True, False],
    evidence=[
        evidence((R, R), (W, W), (W, R), (W, W), (R, W), (W, W), (R, R)),
        evidence((W, W), (W, W), (R, R)),
    ],
    pieces=PIECES,
    entropies=np.array([0.9, 0.1, 0.5, 0.2, 0.5, 0.3, 0.0, 0.8, 0.5, 0.7]),
    probabilities=np.array(BASE),
    key=np.array([False] * 5 + [True, True] + [False, True, True]),
    scores=SCORES.__getitem__,
)

RECIPE = """
[problems]
type = "synthetic"
[annotate]
mode = "eager"
[select]
{selections}
[evaluate.benchmarks]
test = {{ type = "synthetic" }}
[train]
selections = []
"""


def weigh(selection: str, **others: str) -> str:
    """The weights that a selection gives, as digits; a space parts the two solutions."""
    lines = [f"{name} = {value}" for name, value in {"mine": selection, **others}.items()]
    recipe = parse_recipe(RECIPE.format(selections="\n".join(lines)))
    weights = Weigher(recipe.select, MATERIAL).weigh("mine")
    digits = "".join(f"{weight:g}" for weight in weights)
    return f"{digits[:7]} {digits[7:]}"


STRICT3 = "0101010 110"


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ('{ type = "all" }', "1111111 111"),
        ('{ type = "strict", k = 3 }', STRICT3),
        ('{ type = "strict", k = 2 }', "0111010 110"),
        ('{ type = "union" }', "0111110 110"),
        ('{ type = "graded" }', "0212120 220"),
        # 5 tokens as strict3: .9 .8 .7 and the first two of three .5
        ('{ type = "entropy", match = "strict3" }', "1010100 101"),
        ('{ type = "entropy", share = 0.3 }', "1000000 101"),
        ('{ type = "entropy", match = "strict3", per = "response" }', "1010100 101"),
        # 3.5 of 7 and 1.5 of 3 tokens: a half goes up
        ('{ type = "entropy", share = 0.5, per = "response" }', "1010110 101"),
        ('{ type = "low_confidence", match = "strict3" }', "1010100 110"),
        ('{ type = "attention", match = "strict3" }', "0111010 010"),
        ('{ type = "attention", share = 0.2 }', "0000010 010"),
        # P_other - P_base: .1 .05 -.1 .1 0 .25 0 | .25 0 -.05
        ('{ type = "score", model = "other", share = 0.2 }', "0000010 100"),
        ('{ type = "score", model = "other", share = 0.34, per = "response" }', "0000010 100"),
        # P_other / P_base: 1.2 1.06 .83 1.13 1 1.36 1 | 2 1 .95
        ('{ type = "excess_loss", model = "other", share = 0.3 }', "1000010 100"),
        ('{ type = "class", of = "number" }', "0101010 010"),
        ('"number"', "0101010 010"),
        ('"operator"', "0010100 000"),
        ('"word"', "1000000 100"),
        ('"punctuation"', "0000000 001"),
        ('"other"', "0000001 000"),
        ('{ type = "prefix", num_tokens = 2 }', "1100000 110"),
        ('"prefix@2"', "1100000 110"),
        ('"stop"', "0000001 000"),
        ('{ type = "key" }', "0000011 011"),
        ('"strict3 & number"', "0101010 010"),
        ('"strict3 - key"', "0101000 100"),
        ('"union | key"', "0111111 111"),
        ('"entropy@0.3 & strict3"', "0000000 100"),
        ('"all - (strict2 | stop)"', "1000100 001"),
        ('"graded - strict3"', "0010100 000"),
        ('"random@1"', "1111111 111"),
    ],
)
def test_each_selection_takes_what_a_hand_takes(selection, expected):
    if "0.34" in selection:  # 2.38 of 7 and 1.02 of 3 tokens; .1 at the first token is .1 at the fourth
        assert weigh(selection).count("1") == 3 and weigh(selection)[5] == "1"
        return
    assert weigh(selection) == expected


def test_selections_refer_to_each_other():
    others = {"cft": '{ type = "strict" }', "numbers": '"cft & number"', "entropy": '"entropy@0.3"'}
    assert weigh('"numbers | entropy"', **others) == "1101010 111"
    assert weigh('{ type = "entropy", match = "numbers" }', **others) == "1010000 101"


@pytest.mark.parametrize("type", ["entropy", "low_confidence", "attention", "random"])
@pytest.mark.parametrize("match", ["strict3", "union", "strict3 & number", "key - stop", "graded"])
def test_baselines_match_the_count_to_the_token(type, match):
    own = weigh(f'{{ type = "{type}", match = "{match}" }}')
    assert own.count("1") == sum(digit in "12" for digit in weigh(f'"{match}"'))


def test_another_seed_draws_other_random_tokens():
    drawn = {weigh(f'{{ type = "random", share = 0.5, seed = {seed} }}') for seed in range(8)}
    assert len(drawn) > 1 and {row.count("1") for row in drawn} == {5}


def test_scores_that_are_not_numbers_are_refused_with_the_name_of_the_selection():
    material = SimpleNamespace(**{**vars(MATERIAL), "entropies": np.full(10, np.nan)})
    recipe = parse_recipe(RECIPE.format(selections='top = "entropy@0.1"\nmine = "top & key"'))
    with pytest.raises(SelectionError, match=r"^select\.top: 10 of 10 scores are not numbers"):
        Weigher(recipe.select, material).weigh("mine")
