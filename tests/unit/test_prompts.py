"""Prompts: the exact texts, and what a question may hold."""

import copy

import pytest

from cruxtune.errors import ModelError, RecipeError
from cruxtune.problems import PromptEncoder, find_template
from cruxtune.problems.prompts import TEMPLATES, question_text
from cruxtune.records import AnswerKind, Problem

BOXED = r"Please reason step by step, and put your final answer within \boxed{}."
GOLDEN = {
    "cot": "Question: 1 + 1?\nAnswer:",
    "direct": "1 + 1?\n",
    "qwen-boxed": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n1 + 1?\n"
    f"{BOXED}<|im_end|>\n<|im_start|>assistant\n",
    "qwen25-math-cot": f"<|im_start|>system\n{BOXED}<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "chat": "[user] 1 + 1? [assistant]",
}


@pytest.fixture
def chatty(tokenizer):
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
    return chatty


def problem(question: str, choices: tuple[str, ...] = ()) -> Problem:
    return Problem("p", question, "2", AnswerKind.CHOICE if choices else AnswerKind.MATH, choices=choices)


def rendered(name: str, tokenizer, question: str) -> str:
    return tokenizer.decode(PromptEncoder(name, tokenizer).encode(problem(question)))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prompt_has_its_golden_text(name, chatty):
    assert rendered(name, chatty, "1 + 1?") == GOLDEN[name]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "question", ["{question}", "{", "}{0}{x!r}%s", "{{ m.role }}", "\\boxed{3}", "é 中 🙂", "a\n\nb"]
)
def test_a_question_is_never_read_as_a_template(name, question, chatty):
    assert rendered(name, chatty, question) == GOLDEN[name].replace("1 + 1?", question)


def test_what_ends_a_completion_comes_with_the_template(tokenizer):
    stops = {name: find_template(name).stop for name in TEMPLATES}
    assert stops == {
        "cot": ("\n\nQuestion:",),
        "direct": ("\n\n\n",),
        "qwen-boxed": ("<|im_end|>", "<|endoftext|>"),
        "qwen25-math-cot": ("<|im_end|>", "<|endoftext|>"),
        "chat": (),
    }
    assert PromptEncoder("cot", tokenizer).stop == stops["cot"]


def test_a_chat_needs_a_chat_template(tokenizer):
    assert tokenizer.chat_template is None
    with pytest.raises(ModelError, match=r"has no chat template: set prompt\.template to cot, direct"):
        PromptEncoder("chat", tokenizer)


def test_an_unknown_template_lists_the_known_ones():
    with pytest.raises(RecipeError, match="'coot' is unknown: there are cot, direct"):
        find_template("coot")


def test_options_get_letters_below_the_question():
    assert question_text(problem("Which?", ("red", "blue"))) == "Which?\nA. red\nB. blue"
    assert question_text(problem("Which?")) == "Which?"


def test_digits_are_tokens_of_their_own(tokenizer):
    ids = tokenizer("1234").input_ids
    assert [tokenizer.decode([token]) for token in ids] == ["1", "2", "3", "4"]
