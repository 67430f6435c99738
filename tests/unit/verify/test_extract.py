"""Extraction: a golden table of responses, and laws that hold for any text."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.records import AnswerKind
from cruxtune.verify import answer_start, extract_answer
from cruxtune.verify.choice import as_letter

CASES = json.loads((Path(__file__).parent / "extraction_cases.json").read_text(encoding="utf-8"))
FRAGMENTS = [
    *[
        "\\boxed{",
        "\\boxed",
        "{",
        "}",
        "\\",
        "####",
        "The answer is ",
        "Answer:",
        "$",
        "(A)",
        "B",
        "18",
        ".",
        "\n",
    ],
    *["\nQuestion:", "\\(", "\\)", ",", "%", " and ", "\u202e", "\x00", "\ud800", "-", "/", "=", "**"],
    *["<Answer>", "</answer>", "</Thinking>"],
]
HOSTILE = {
    "digits": "9" * 100_000,
    "digits after a phrase": "The answer is " + "9" * 100_000,
    "opened boxes": "\\boxed{" * 15_000,
    "nested boxes": "\\boxed{" * 12_000 + "}" * 12_000,
    "tags": "<Answer>" * 12_000,
    "long tags": "<Answer>9 " * 10_000 + "</Answer>",
    "separators": "1," * 50_000,
    "phrases": "the answer is " * 7_000,
    "phrases to nothing": "answer to " * 10_000,
    "hashes": "#" * 100_000,
    "hash lines": "#### a b\n" * 11_000,
    "line ends": "\n" * 100_000,
    "stars": "\n" + "*" * 100_000,
    "spaces": "answer" + " " * 100_000 + "A" + " " * 100_000 + "x",
    "brackets": "(" * 100_000,
    "dollars": "answer: " + "$" * 100_000,
    "nulls": "\x00" * 100_000,
    "direction marks": "answer: " + "\u202e" * 100_000,
    "letters": "A " * 50_000,
    "dots": ". " * 50_000,
    "slashes": "1/" * 50_000,
}


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_the_final_answer_of_a_response(case):
    assert extract_answer(case["text"], case.get("kind", "math")) == case["answer"]


@given(st.text() | st.lists(st.sampled_from(FRAGMENTS)).map("".join), st.sampled_from(AnswerKind))
def test_extraction_never_raises_and_never_answers_with_nothing(text, kind):
    answer = extract_answer(text, kind)
    assert answer is None or answer.strip()


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("So 5 + 4 = 9. The answer is 9.", "answer is 9."),
        ("2 * 3 = <<2*3=6>>6 eggs\n#### 18", "#### 18"),
        ("<<2*3=6>>6 and <<6+1=7>>7<<7=7>> eggs", "7<<7=7>> eggs"),
        (r"so $\boxed{7}$. Done", r"\boxed{7}$. Done"),
        ("it is 3, then 12 in all", "12 in all"),
        ("The answer is 4.\n\nQuestion: how?\n#### 7", "answer is 4.\n\nQuestion: how?\n#### 7"),
    ],
)
def test_the_statement_of_the_answer_begins_where_a_reader_finds_it(text, statement):
    assert text[answer_start(text) :] == statement


def test_a_chosen_letter_is_stated_somewhere_too():
    text = "A dog barks, so the answer is (C)."
    assert text[answer_start(text, "choice") :] == "answer is (C)."


@given(
    st.text() | st.lists(st.sampled_from([*FRAGMENTS, "<<1=1>>"])).map("".join), st.sampled_from(AnswerKind)
)
def test_an_answer_has_a_beginning_and_stands_after_it(text, kind):
    answer, start = extract_answer(text, kind), answer_start(text, kind)
    assert (answer is None) == (start is None)
    if start is not None:
        assert 0 <= start < len(text)
        assert extract_answer(text[start:], kind) is not None


@given(
    st.integers(),
    st.sampled_from(["#### {}", "\\boxed{{{}}}", "The answer is {}.", "Answer: {} apples", "so {}"]),
)
def test_a_stated_number_is_found(number, form):
    answer = extract_answer(form.format(number))
    assert answer is not None
    assert answer.removesuffix(" apples") == str(number)


@given(st.integers(0, 999), st.text(alphabet="abc 123.\n"))
def test_a_made_up_next_question_changes_nothing(number, more):
    response = f"So it is {number}.\n#### {number}"
    assert extract_answer(f"{response}\n\nQuestion: {more}\n#### 7") == str(number)


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hundred_thousand_characters_take_little_time(text, kind):
    started = time.process_time()
    extract_answer(text, kind)
    assert time.process_time() - started < 1


def test_an_answer_of_a_thousand_digits_is_none():
    assert extract_answer("#### " + "9" * 1_001) is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("b", "B"), ("(C)", "C"), ("Paris", "B"), ("paris ", "B"), ("Oslo", None), ("", None)],
)
def test_a_reference_names_an_option_by_letter_or_by_text(answer, letter):
    assert as_letter(answer, ("Rome", "Paris")) == letter
