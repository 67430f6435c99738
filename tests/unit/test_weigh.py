"""Every kind of selection on one hand example of two solutions."""

from types import SimpleNamespace

import numpy as np
import pytest

from cruxtune.errors import SelectionError
from cruxtune.recipe import parse_recipe
from cruxtune.records import Verdict
from cruxtune.select import Evidence, Outcome, token_classes
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
MATERIAL = SimpleNamespace(
    lengths=[7, 3],
    num_tokens=10,
    has_stopped=[True, False],
    evidence=[
        evidence((R, R), (W, W), (W, R), (W, W), (R, W), (W, W), (R, R)),
        evidence((W, W), (W, W), (R, R)),
    ],
    classes=[kind for pieces in PIECES for kind in token_classes(pieces)],
    entropies=np.array([0.9, 0.1, 0.5, 0.2, 0.5, 0.3, 0.0, 0.8, 0.5, 0.7]),
    probabilities=np.array(BASE),
    key=np.array([False] * 5 + [True, True] + [False, True, True]),
    attention=np.array(ATTENTION),
    logprobs=lambda model, revision: {"other": np.log(OTHER)}[model],
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
    weights = Weigher(recipe.select, lambda sets: MATERIAL).weigh("mine")
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
        Weigher(recipe.select, lambda sets: material).weigh("mine")


def on(*solutions: tuple[str, str]) -> SimpleNamespace:
    """Solutions by id, each given as entropies of one digit."""
    rows = [[float(digit) for digit in digits] for _, digits in solutions]
    ids = [
        SimpleNamespace(id=id, completion=SimpleNamespace(token_ids=row))
        for (id, _), row in zip(solutions, rows, strict=True)
    ]
    entropies = np.array([number for row in rows for number in row])
    return SimpleNamespace(
        solutions=ids,
        lengths=[len(row) for row in rows],
        num_tokens=len(entropies),
        entropies=entropies,
        has_stopped=[True] * len(rows),
    )


GREEDY, SAMPLED = [("a", "123"), ("b", "9")], [("c", "4567")]
SETS = {
    ("greedy",): on(*GREEDY),
    ("sampled",): on(*SAMPLED),
    ("greedy", "sampled"): on(*GREEDY, *SAMPLED),
}


def weigh_sets(**selections: str) -> str:
    """The weights of `mine` as digits."""
    lines = "\n".join(f"{name} = {value}" for name, value in selections.items())
    recipe = parse_recipe(RECIPE.format(selections=lines), ["sample.num_tries=1"])
    return "".join(f"{weight:g}" for weight in Weigher(recipe.select, SETS.__getitem__).weigh("mine"))


TOP = '{ type = "entropy", share = 0.5, solutions = "sampled" }'


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        ({"mine": TOP}, "0011"),
        ({"mine": '"top & prefix@3"', "top": TOP}, "0010"),
        ({"mine": '{ type = "random", match = "stop", solutions = "sampled", seed = 1 }'}, None),
        ({"mine": '["own", "top"]', "own": '"prefix@1"', "top": TOP}, "10010011"),
        ({"mine": '["top", "own"]', "own": '"prefix@1"', "top": TOP}, "10010011"),
        # 4 tokens of the joined set, wherever the entropy is highest
        (
            {
                "mine": '{ type = "entropy", match = "both" }',
                "both": '["own", "top"]',
                "own": '"prefix@1"',
                "top": TOP,
            },
            "00010111",
        ),
        # the count of another set: the two stop tokens of the greedy solutions
        ({"mine": '{ type = "entropy", match = "own", solutions = "sampled" }', "own": '"stop"'}, "0011"),
        ({"mine": '{ type = "all", solutions = ["sampled", "greedy"] }'}, "11111111"),
    ],
)
def test_each_selection_is_made_on_its_own_solutions(selections, expected):
    found = weigh_sets(**selections)
    assert found == expected if expected else (len(found), found.count("1")) == (4, 1)


def test_a_count_that_other_solutions_do_not_have_is_refused():
    with pytest.raises(SelectionError, match=r"^select.mine: 'both' takes 8 tokens, but these .* only 4$"):
        weigh_sets(
            mine='{ type = "random", match = "both", solutions = "greedy" }',
            both='{ type = "all", solutions = ["greedy", "sampled"] }',
        )
