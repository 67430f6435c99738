"""Formulas over selections: how they are read, what they refuse, and the laws of their algebra."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.errors import SelectionError
from cruxtune.select import evaluate, parse_formula
from cruxtune.select.formula import Combination, Term, terms_of

APPLY = {"&": operator.and_, "|": operator.or_, "-": operator.sub}


def tokens(text: str, **sets: set[int]) -> set[int]:
    """The formula over Python's own sets, as the reference."""
    return evaluate(parse_formula(text), lambda term: sets[str(term)], lambda sign, a, b: APPLY[sign](a, b))


A, B, C = {1, 2, 3}, {2, 3, 4}, {3, 4, 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", {1, 2, 3}),
        ("a & b", {2, 3}),
        ("a | c", {1, 2, 3, 4, 5}),
        ("a - b", {1}),
        ("a - b - c", {1}),
        ("a - (b - c)", {1, 3}),
        ("a | b & c", {1, 2, 3, 4}),
        ("(a | b) & c", {3, 4}),
        ("b & c - a", {4}),
        ("a | b - c", {1, 2, 3}),
        ("((a))&(  b|c )", {2, 3}),
        ("a&b|c", {2, 3, 4, 5}),
    ],
)
def test_operators_bind_as_for_sets(text, expected):
    assert tokens(text, a=A, b=B, c=C) == expected
    assert eval(text, {"a": A, "b": B, "c": C}) == expected


def test_a_name_may_have_a_number():
    assert parse_formula("entropy@0.1") == Term("entropy", 0.1)
    assert parse_formula("prefix @ 8") == Term("prefix", 8.0)
    assert str(parse_formula("entropy@1e-3")) == "entropy@0.001"
    assert parse_formula("cft-v2.1 - key") == Combination("-", Term("cft-v2.1"), Term("key"))
    assert [str(term) for term in terms_of(parse_formula("a & (b@2 | c)"))] == ["a", "b@2", "c"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "expected a name or '(', found its end at ▸ in '▸'"),
        ("a &", "expected a name or '(', found its end at ▸ in 'a &▸'"),
        ("a & | b", "expected a name or '(', found '|' at ▸ in 'a & ▸| b'"),
        ("a b", "expected &, | or -, found 'b' at ▸ in 'a ▸b'"),
        ("a)", "expected &, | or -, found ')' at ▸ in 'a▸)'"),
        ("a & (b | c", "this '(' is not closed at ▸ in 'a & ▸(b | c'"),
        ("a & ~b", "'~' has no meaning here at ▸ in 'a & ▸~b'"),
        ("a, b", "',' has no meaning here at ▸ in 'a▸, b'"),
        ("entropy@", "expected a number after '@' at ▸ in 'entropy@▸'"),
        ("entropy@x", "expected a number after '@' at ▸ in 'entropy@▸x'"),
        ("entropy@0.1.2", "expected a number after '@' at ▸ in 'entropy@▸0.1.2'"),
        ("a & @0.1", "'@' has no meaning here at ▸ in 'a & ▸@0.1'"),
        ("(" * 60 + "a" + ")" * 60, "too many parentheses"),
    ],
)
def test_what_is_no_formula_is_pointed_at(text, what):
    with pytest.raises(SelectionError) as caught:
        parse_formula(text)
    assert str(caught.value).startswith(what)


@given(st.text(alphabet="ab@.01&|-() \n~", max_size=30))
def test_any_text_is_a_formula_or_refused_in_one_line(text):
    try:
        formula = parse_formula(text)
    except SelectionError as error:
        assert "\n" not in str(error) and "▸" in str(error)
    else:
        assert list(terms_of(formula))


MASKS = st.integers(1, 12).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            name: st.lists(st.booleans(), min_size=n, max_size=n).map(lambda row: np.array(row))
            for name in ("a", "b", "c")
        }
    )
)
MEANING = {"&": operator.and_, "|": operator.or_, "-": lambda left, right: left & ~right}


def mask(text: str, masks: dict[str, np.ndarray]) -> list[bool]:
    known = {**masks, "all": np.ones_like(masks["a"])}
    return evaluate(
        parse_formula(text), lambda t: known[t.name], lambda sign, x, y: MEANING[sign](x, y)
    ).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a & b", "b & a"),
        ("a | b", "b | a"),
        ("(a & b) & c", "a & (b & c)"),
        ("(a | b) | c", "a | (b | c)"),
        ("a & (b | c)", "a & b | a & c"),
        ("a | b & c", "(a | b) & (a | c)"),
        ("all - (a | b)", "(all - a) & (all - b)"),
        ("all - (a & b)", "(all - a) | (all - b)"),
        ("a & a", "a"),
        ("a | a", "a"),
        ("a & (a | b)", "a"),
        ("a | a & b", "a"),
        ("all - (all - a)", "a"),
        ("a - b", "a & (all - b)"),
        ("a - (b | c)", "a - b - c"),
        ("a & all", "a"),
        ("a | all", "all"),
        ("a - a", "all - all"),
    ],
)
@given(masks=MASKS)
def test_the_laws_of_the_algebra_of_sets_hold(one, other, masks):
    assert mask(one, masks) == mask(other, masks)
