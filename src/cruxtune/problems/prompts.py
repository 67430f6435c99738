"""The one place that knows prompt templates."""

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cruxtune.errors import ModelError, RecipeError
from cruxtune.records import Problem, TokenIds


@dataclass(frozen=True, slots=True)
class Template:
    """The text around a question, and the strings at which a completion has ended."""

    text: str
    """`{question}` stands for the question."""
    stop: tuple[str, ...]
    add_special_tokens: bool = True
    """Whether the tokenizer puts its own first token (Llama's BOS) before the prompt."""


CHATML_STOP = ("<|im_end|>", "<|endoftext|>")
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

TEMPLATES = {
    "cot": Template("Question: {question}\nAnswer:", ("\n\nQuestion:",)),
    "direct": Template("{question}\n", ("\n\n\n",)),
    "qwen-boxed": Template(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{{question}}\n{BOXED}<|im_end|>\n<|im_start|>assistant\n",
        CHATML_STOP,
    ),
    "qwen25-math-cot": Template(
        f"<|im_start|>system\n{BOXED}<|im_end|>\n"
        "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
        CHATML_STOP,
    ),
    "chat": Template("{question}", ()),
}
"""By name; `chat` is the chat template that comes with the tokenizer."""


class PromptEncoder:
    """Problems to prompt ids, with one template and one tokenizer."""

    def __init__(self, template_name: str, tokenizer: Any) -> None:
        self.template = find_template(template_name)
        self._tokenizer = tokenizer
        self._encode = self._encode_chat if template_name == "chat" else self._encode_text
        if template_name == "chat" and not tokenizer.chat_template:
            raise ModelError(
                f"{tokenizer.name_or_path} has no chat template: set prompt.template to "
                f"{', '.join(name for name in TEMPLATES if name != 'chat')}"
            )

    @property
    def stop(self) -> tuple[str, ...]:
        return self.template.stop

    def encode(self, problem: Problem) -> TokenIds:
        """The prompt of one problem as token ids."""
        encode: Callable[[str], TokenIds] = self._encode
        return encode(question_text(problem))

    def _encode_text(self, question: str) -> TokenIds:
        text = self.template.text.replace("{question}", question)
        return self._tokenizer(text, add_special_tokens=self.template.add_special_tokens).input_ids

    def _encode_chat(self, question: str) -> TokenIds:
        messages = [{"role": "user", "content": question}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text, add_special_tokens=False).input_ids


def question_text(problem: Problem) -> str:
    """The question, with its options below it where it has any."""
    if not problem.choices:
        return problem.question
    options = zip(string.ascii_uppercase, problem.choices, strict=False)
    return "\n".join([problem.question, *(f"{letter}. {option}" for letter, option in options)])


def find_template(name: str) -> Template:
    """The template of that name."""
    if name not in TEMPLATES:
        raise RecipeError(f"prompt.template = {name!r} is unknown: there are {', '.join(TEMPLATES)}")
    return TEMPLATES[name]
