"""The word problems of our own: stable, disjoint, right, and wrong only as often as asked."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cruxtune.problems.synthetic import Split, generate_problems, generate_story
from cruxtune.problems.synthetic.corpus import write_corpus
from cruxtune.problems.synthetic.phrases import expand
from cruxtune.problems.synthetic.solutions import (
    CLEAN,
    Habits,
    write_careful_solution,
    write_hasty_solution,
)
from cruxtune.problems.synthetic.story import Event, Story
from cruxtune.problems.synthetic.wordings import write_drill
from cruxtune.records import AnswerKind

SPLITS: tuple[Split, ...] = ("train", "validation", "test", "hard")
splits = st.sampled_from(SPLITS)
seeds = st.integers(min_value=0, max_value=10_000)


def recomputed_answer(story: Story) -> int:
    total = story.start
    for step in story.steps:
        if step.event is Event.GAIN:
            total += step.amount
        elif step.event is Event.LOSE:
            total -= step.amount
        elif step.event is Event.PACKS:
            total += step.groups * step.amount
        elif step.event is Event.TIMES:
            total *= step.amount
        else:
            total, rest = divmod(total, step.amount)
            assert rest == 0
        assert total > 0
    return total


def stated_answer(text: str) -> int:
    return int(re.findall(r"(?:answer is|####) (\d+)", text)[-1])


def equations(text: str) -> list[tuple[str, ...]]:
    return re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", text)


def test_ids_are_data_set_split_and_row():
    problem = generate_problems("test", 18)[17]
    assert problem.id == "synthetic/test/17"
    assert problem.kind is AnswerKind.MATH
    assert generate_problems("test", 18, seed=3)[17].id == "synthetic/test@3/17"


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        generate_problems("dev", 1)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(splits, seeds, st.integers(0, 12), st.integers(0, 12))
def test_a_longer_list_starts_with_the_shorter_one(split: Split, seed: int, short: int, more: int):
    assert generate_problems(split, short + more, seed)[:short] == generate_problems(split, short, seed)


def test_splits_share_neither_questions_nor_calculations():
    names = (*SPLITS, "corpus")
    stories = {name: [generate_story(name, i) for i in range(1500)] for name in names}
    for kind in (lambda pair: pair[0].key, lambda pair: pair[1].text):
        seen = {name: {kind(pair) for pair in pairs} for name, pairs in stories.items()}
        assert sum(map(len, seen.values())) == len(set().union(*seen.values()))


def test_a_split_hardly_ever_repeats_a_question():
    questions = [problem.question for problem in generate_problems("train", 3000)]
    assert len(set(questions)) == len(questions)


@settings(max_examples=100, deadline=None)
@given(splits, seeds, st.integers(0, 1000))
def test_the_answer_follows_from_the_numbers_in_the_question(split: Split, seed: int, index: int):
    story, question = generate_story(split, index, seed)
    assert story.answer == recomputed_answer(story)
    told = [int(number) for number in re.findall(r"\d+", question.text)]
    amounts = [
        number for s in story.steps for number in ((s.amount, s.groups) if s.groups > 1 else (s.amount,))
    ]
    assert all(number in told for number in [story.start, *amounts])


def test_problems_carry_the_answer_of_their_story():
    problems = generate_problems("hard", 50)
    assert [int(p.answer) for p in problems] == [generate_story("hard", i)[0].answer for i in range(50)]


def test_hard_problems_have_more_steps_and_larger_numbers():
    hard = [generate_story("hard", i)[0] for i in range(300)]
    easy = [generate_story("test", i)[0] for i in range(300)]
    assert min(s.num_calculations for s in hard) > max(s.num_calculations for s in easy)
    assert sum(max(s.totals) for s in hard) > 2 * sum(max(s.totals) for s in easy)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 1000))
def test_a_clean_solution_is_right_in_every_line(seed: int, index: int):
    story, question = generate_story("corpus", index, seed)
    text = write_careful_solution(story, question.cast, random.Random(seed), CLEAN)
    assert stated_answer(text) == story.answer
    for left, operator, right, result in equations(text):
        left_operand = int(left)
        expected = {
            "+": left_operand + int(right),
            "-": left_operand - int(right),
            "*": left_operand * int(right),
            "/": left_operand // int(right),
        }
        assert expected[operator] == int(result)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 1000))
def test_noise_and_false_starts_never_change_the_answer(seed: int, index: int):
    story, question = generate_story("corpus", index, seed)
    habits = Habits(slip=0.0, false_start=0.5, misprint=0.5, noise=0.2)
    assert (
        stated_answer(write_careful_solution(story, question.cast, random.Random(seed), habits))
        == story.answer
    )


def test_slips_spoil_as_many_solutions_as_asked():
    wrong, expected, generator = 0, 0.0, random.Random(0)
    for index in range(2000):
        story, question = generate_story("corpus", index)
        text = write_careful_solution(story, question.cast, generator, Habits(slip=0.1))
        wrong += stated_answer(text) != story.answer
        expected += 1 - 0.9**story.num_calculations
    assert abs(wrong - expected) < 0.1 * expected


def test_guesses_are_right_as_often_as_asked():
    stories = [generate_story("corpus", index)[0] for index in range(2000)]
    generator = random.Random(0)
    guesses = [write_hasty_solution(s, generator, Habits(lucky_guess=0.3)) for s in stories]
    right = sum(stated_answer(text) == s.answer for text, s in zip(guesses, stories, strict=True))
    assert abs(right - 600) < 80


def test_the_corpus_is_reproducible_and_in_the_cot_template():
    documents = list(write_corpus(20))
    assert documents == list(write_corpus(40))[:20]
    for prompt, completion in documents:
        assert re.fullmatch(r"Question: [^\n]+\nAnswer:", prompt)
        assert re.match(r" \S", completion)
        assert stated_answer(completion) > 0


def test_a_drill_tells_every_number_of_its_story():
    story, _ = generate_story("hard", 0)
    told = [int(number) for number in re.findall(r"\d+", write_drill(story, random.Random(0)).text)]
    amounts = [
        number for s in story.steps for number in ((s.groups, s.amount) if s.groups > 1 else (s.amount,))
    ]
    assert told == [story.start, *amounts]


def test_choices_in_a_template_nest():
    texts = {expand("[a|b[c|d]|]{n}", random.Random(seed), n=1) for seed in range(60)}
    assert texts == {"a1", "bc1", "bd1", "1"}
