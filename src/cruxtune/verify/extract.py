"""From a whole response to its final answer, or None.

The rules, in order: the last `\\boxed`, the first `####`, the last phrase such as "the answer is",
the last number. A made-up next question ends the response. Linear in the length of the text.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from cruxtune.records import AnswerKind
from cruxtune.verify.choice import extract_choice
from cruxtune.verify.notation import MAX_ANSWER_LENGTH, printable
from cruxtune.verify.phrase import PHRASE, after_phrase

_NEXT_QUESTION = re.compile(
    r"\n{3,}|\n\s?\**(?:Question|Problem|Exercise|Example|Q|Human|User|Instruction)\**\s?[0-9]{0,4}\**\s?[:.]"
    r"|<\|(?:im_end|im_start|endoftext|eot_id|end_of_text)\|>|</s>"
)
CALCULATOR_NOTE = re.compile(r"<<[^<>\n]{0,200}>>")
_TOO_LONG = 2 * MAX_ANSWER_LENGTH
_BOXED = re.compile(r"\\f?boxed\s?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"(?!\{)([^\s$]{1,100})")
_FORGOTTEN_BRACE = re.compile(r"\{([^{}$\n]{1,100})[$\n]")
_HASHES = re.compile(r"####(?!#)[ \t]*\n?[ \t]*([^\n]+)")
_HEADING = re.compile(r"(?:[0-9]+[.)]\s+)?\**[A-Za-z]+\b.*\s.*[A-Za-z]|[0-9]+[.)]\s+\S|.*:\**\s*$")
_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)}])-)?[$€£]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?%?"
)


def extract_answer(text: str, kind: AnswerKind | Literal["math", "choice"] = "math") -> str | None:
    r"""The final answer of a response as it was written, or None where there is none.

    >>> extract_answer("So 6 + 12 = 18. The answer is 18 dollars. Then he")
    '18 dollars'
    >>> extract_answer(r"so $\boxed{\frac{1}{2}}$"), extract_answer("The answer is (B) A dog.", "choice")
    ('\\frac{1}{2}', 'B')
    """
    parts = pieces_of(CALCULATOR_NOTE.sub("", text))
    if kind == AnswerKind.CHOICE:
        return next(filter(None, map(extract_choice, parts)), None)
    rules: tuple[Callable[[str], str | None], ...] = (explicit_answer, _last_number)
    return next(filter(None, (rule(part) for rule in rules for part in parts)), None)


def pieces_of(text: str) -> list[str]:
    """The text in pieces, each starting with a next question: the first piece with an answer counts."""
    bounds = [0, *(match.start() for match in _NEXT_QUESTION.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds) if end > start]


def explicit_answer(text: str) -> str | None:
    return _last_boxed(text) or _after_hashes(text) or _after_last_phrase(text)


def _last_boxed(text: str) -> str | None:
    r"""What the last closed `\boxed{…}` holds.

    An unclosed box is no answer, unless a dollar sign or a line's end shows that only the brace was
    forgotten; at the end of the text it may be cut short.
    """
    boxes = list(_BOXED.finditer(text))
    closings = _closings(text) if boxes else {}
    for box in reversed(boxes):
        start = box.end()
        match = _BARE_BOX.match(text, start) or _FORGOTTEN_BRACE.match(text, start)
        content = (
            text[start + 1 : min(closings[start], start + _TOO_LONG)]
            if start in closings
            else match and match[1]
        )
        if content and (answer := _answer(content)):
            return answer
    return None


def _closings(text: str) -> dict[int, int]:
    """Where each opened brace is closed; escaped braces count for nothing."""
    opened: list[int] = []
    closings: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closings[opened.pop()] = brace.start()
    return closings


def _after_hashes(text: str) -> str | None:
    """What follows the first `####` that isn't a heading of Markdown."""
    lines = (match[1].strip() for match in _HASHES.finditer(text))
    return next(filter(None, (_answer(line) for line in lines if not _HEADING.match(line[:200]))), None)


def _after_last_phrase(text: str) -> str | None:
    for match in reversed(list(PHRASE.finditer(text))):
        if answer := _answer(after_phrase(text[match.end() : match.end() + MAX_ANSWER_LENGTH])):
            return answer
    return None


def _last_number(text: str) -> str | None:
    """The last number of the text: the last resort, and often not meant as the answer."""
    number = None
    for match in _NUMBER.finditer(text):
        number = match[0]
    return _answer(number) if number else None


def _answer(candidate: str) -> str | None:
    """The candidate, cleaned; None where nothing is left or it is too long for an answer."""
    if len(candidate) >= _TOO_LONG - 1:
        return None
    answer = printable(" ".join(candidate.split())).lstrip(" *_`,;:").rstrip(" *_`.,;:")
    return answer if 0 < len(answer) <= MAX_ANSWER_LENGTH and re.search(r"\w|[∞π∅]|\\", answer) else None
