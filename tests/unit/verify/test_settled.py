"""The stop rule: where it holds, nothing that follows changes the answer or the verdict."""

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cruxtune.records import AnswerKind, FinishReason, Problem, Verdict
from cruxtune.verify import StopRule, Verifier, extract_answer, is_settled

MARKS = ["\n\n\n", "\nQuestion:", "\n\nQ 12:", "\n**Problem 3**:", "<|im_end|>", "</s>"]
HALVES = [
    "\n",
    "\n\n",
    "\nQuestion",
    ":",
    "**",
    "<",
    "<<",
    "<<6+1=7",
    "<<|im_end|>",
    ">",
    ">>",
    "|im_end|>",
    "/s>",
    "Q",
    "<|",
]
ANSWERS = ["\\boxed{18}", "#### 18", "The answer is 18.", "Answer: (B)", "B", "(A)", " 18", "<<9*2=18>>18"]
ANSWERS += ["<Answer>18</Answer>", "<Answer>B"]
OTHERS = ["\\boxed{", "}", "{", "####", "$", "\\", ".", " ", "x", "A dog", "\nSo", "1", "<Answer>"]
TEXTS = st.lists(st.sampled_from(MARKS + HALVES + ANSWERS + OTHERS), max_size=9).map("".join) | st.text()
REALISTIC = st.tuples(
    st.sampled_from(["She sells <<16-3=13>>13 eggs.\n", "So $x = 9$.\n\n", ""]),
    st.sampled_from(ANSWERS[:4]),
    st.sampled_from(["", ".", "\n"]),
    st.sampled_from(MARKS),
    TEXTS,
).map("".join)
VERIFIER = Verifier()
PROBLEMS = {
    AnswerKind.MATH: Problem("math", "?", "18"),
    AnswerKind.CHOICE: Problem("choice", "?", "B", AnswerKind.CHOICE, ("Rome", "Paris")),
}


@given(TEXTS | REALISTIC, TEXTS, st.sampled_from(AnswerKind))
def test_nothing_that_follows_a_settled_text_changes_its_answer_or_unsettles_it(text, more, kind):
    if is_settled(text, kind):
        assert extract_answer(text + more, kind) == extract_answer(text, kind) is not None
        assert is_settled(text + more, kind)


@given(REALISTIC, TEXTS, st.sampled_from(AnswerKind), st.sampled_from([None, *FinishReason]))
def test_a_settled_text_has_the_verdict_of_every_continuation(text, more, kind, reason):
    if is_settled(text, kind):
        settled = (PROBLEMS[kind], text, FinishReason.SETTLED)
        going_on = (PROBLEMS[kind], text + more, reason)
        assert len(set(VERIFIER.verify_many([settled, going_on]))) == 1


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("answer", ANSWERS[:4])
def test_a_stated_answer_is_settled_by_a_next_question_and_no_sooner(answer, mark):
    kind = AnswerKind.CHOICE if "B" in answer else AnswerKind.MATH
    text = f"She sells <<16-3=13>>13 eggs.\n{answer}"
    assert [is_settled((text + mark)[:end], kind) for end in range(len(text + mark) + 1)] == [
        *[False] * len(text + mark),
        True,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#### 18",
        "#### 18\n\n",
        "#### 18\nQuestion",
        "So she has 18.\n\n\n",  # only the last resort reads this, and a stated answer goes before it
        "\n\n\n#### 18",
        "\\boxed{18\nQuestion:",
        "#### 18<|im_end|",
    ],
)
def test_what_could_still_change_is_not_settled(text):
    assert not is_settled(text)


def test_a_mark_that_may_yet_be_part_of_a_calculator_note_settles_nothing():
    text = "The answer is 18. <<|im_end|>"
    assert extract_answer(text + " The answer is 9.") == "18"
    assert extract_answer(text + "> The answer is 9.") == "9"
    assert not is_settled(text) and is_settled(text + " ") and not is_settled(text + ">")
    assert is_settled("#### 18\n<<x>>Question:") and not is_settled("#### 18\n<<x>>Question")


def test_an_answer_that_is_settled_before_the_length_limit_is_graded():
    with Verifier() as verifier:
        problem, text = PROBLEMS[AnswerKind.MATH], "#### 18\n\nQuestion: 1 + 1?"
        assert verifier.verify(problem, text, FinishReason.LENGTH).verdict is Verdict.CORRECT
        wrong = text.replace("18", "19")
        assert verifier.verify(problem, wrong, FinishReason.LENGTH).verdict is Verdict.INCORRECT
        assert verifier.verify(problem, text[:9], FinishReason.LENGTH).verdict is Verdict.TRUNCATED


def test_a_rule_for_several_kinds_waits_for_all_of_them_and_travels_between_processes():
    rule = pickle.loads(pickle.dumps(StopRule((AnswerKind.CHOICE, AnswerKind.MATH))))
    assert not rule("The answer is 18.\n\n\n")
    assert rule("The answer is B.\n\n\n") and rule("The answer is B: 18.\n\n\n")
    assert StopRule((AnswerKind.MATH,))("The answer is 18.\n\n\n")
    assert not StopRule(())("The answer is 18.\n\n\n")


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize(
    "text", ["\n" * 99_999, "\nQ:" * 33_333, "<" * 99_999, "<<1" * 33_333, "\\boxed{\n\n\n" * 9_999]
)
def test_a_hundred_thousand_characters_take_little_time(text, kind):
    started = time.process_time()
    is_settled(text, kind)
    assert time.process_time() - started < 1
