"""Equality: a golden table, laws for numbers, and every reference answer against itself."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.verify import equivalent, extract_answer
from cruxtune.verify.equivalence import compare_plainly

CASES = json.loads((Path(__file__).parent / "equivalence_cases.json").read_text(encoding="utf-8"))
DATA = Path(__file__).parents[4] / "shared" / "data"
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda number: f"{number:f}")
SPELLINGS = [
    "{}",
    "${}$",
    "\\boxed{{{}}}",
    "{}.",
    " {} ",
    "\\({}\\)",
    "x = {}",
    "{} apples",
    "{}\\text{{ cm}}",
    "{}^\\circ",
]
FRACTIONS = ["{}/{}", "\\frac{{{}}}{{{}}}", "\\dfrac{{{}}}{{{}}}", "$\\tfrac{{ {} }}{{ {} }}$"]


@pytest.mark.parametrize(
    ("reference", "answer", "equal", "why"), CASES, ids=[f"{c[3]}: {c[0]} | {c[1]}" for c in CASES]
)
def test_answers_that_are_or_are_not_equal(reference, answer, equal, why):
    assert equivalent(reference, answer) is equal, why


@given(DECIMALS, st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS[:7]))
def test_a_number_equals_itself_in_every_spelling(number, form, other):
    assert compare_plainly(form.format(number), other.format(number)) is True


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_integers_are_equal_exactly_when_they_are_the_same(one, other):
    assert compare_plainly(str(one), f"{other:,}") is (one == other)


@given(
    st.integers(-999, 999),
    st.integers(1, 999),
    st.integers(1, 99),
    st.sampled_from(FRACTIONS),
    st.sampled_from(FRACTIONS),
)
def test_a_fraction_equals_itself_expanded(top, bottom, factor, form, other):
    assert compare_plainly(form.format(top, bottom), other.format(top * factor, bottom * factor)) is True
    assert compare_plainly(form.format(top, bottom), other.format(top * factor + 1, bottom * factor)) is False


@given(st.integers(1, 10**6), st.integers(-12, 12))
def test_scientific_notation_has_its_exact_value(digits, exponent):
    value = Fraction(digits) * Fraction(10) ** exponent
    assert (
        compare_plainly(f"{value.numerator}/{value.denominator}", f"{digits}\\times 10^{{{exponent}}}")
        is True
    )


@given(st.text(max_size=50), st.text(max_size=50))
def test_plain_comparison_never_raises_and_is_symmetric(one, other):
    assert compare_plainly(one, other) is compare_plainly(other, one)


@given(st.text(max_size=50))
def test_whatever_is_left_of_a_text_equals_itself(text):
    assert compare_plainly(text, text) in (True, False)
    assert compare_plainly(f"7{text}", f"7{text}") is True


@pytest.mark.parametrize(
    "answer", ["9" * 100_000, "{" * 100_000, "\x00" * 100_000, "\u202e" * 100_000, "1e999999999"]
)
def test_a_monstrous_answer_is_unequal_at_once(answer):
    assert compare_plainly("18", answer) is not True
    assert equivalent("18", answer) is False


def test_an_endless_comparison_is_an_error_and_not_a_verdict():
    with pytest.raises(TimeoutError, match="no verdict"):
        equivalent("3", "2^{2^{2^{2^{20}}}}")


def test_the_import_brings_neither_sympy_nor_torch():
    code = "import sys, cruxtune.verify; print({'sympy', 'math_verify', 'torch'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def rows(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there: it holds the data set's own files")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_gsm8k_solution_gives_its_own_answer():
    for row in rows("gsm8k/train.jsonl"):
        gold = row["answer"].split("####")[1].strip()
        assert compare_plainly(gold, extract_answer(row["answer"]) or "") is True, row["answer"]


def test_every_math_solution_gives_its_own_answer_plainly():
    """Two in a thousand solutions have several boxes, of which the last is not the whole answer."""
    found = [
        compare_plainly(row["answer"], extract_answer(row["solution"]) or "") is True
        for row in rows("math/train.jsonl")
    ]
    assert sum(found) / len(found) > 0.998


def test_math_answers_equal_themselves_by_algebra():
    """Wrapped in a sum with zero, so that no comparison of text can settle them."""
    golds = [row["answer"] for row in rows("math/train.jsonl")[::25]]
    simple = [
        gold
        for gold in golds
        if len(gold) > 1
        and not any(mark in gold for mark in (",", "=", "text", "{p", "_", ":", "<", "circ", "$", "%"))
    ]
    assert len(simple) > 200
    assert [gold for gold in simple if not equivalent(gold, f"0 + {gold}")] == []
