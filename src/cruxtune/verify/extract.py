"""From a whole response to its final answer, or None.

The rules, in order: the last `<Answer>`, the last `\\boxed`, the first `####`, the last phrase such as
"the answer is", the last number. A made-up next question ends the response. Linear in the length of the text.
"""

import re
from itertools import pairwise
from typing import Literal

from cruxtune.records import AnswerKind
from cruxtune.verify.choice import find_choice
from cruxtune.verify.notation import MAX_ANSWER_LENGTH, printable
from cruxtune.verify.phrase import PHRASE, after_phrase
from cruxtune.verify.statement import Statement

_NEXT_QUESTION = re.compile(
    r"\n{3,}|\n\s?\**(?:Question|Problem|Exercise|Example|Q|Human|User|Instruction)\**\s?[0-9]{0,4}\**\s?[:.]"
    r"|<\|(?:im_end|im_start|endoftext|eot_id|end_of_text)\|>|</s>"
)
CALCULATOR_NOTE = re.compile(r"<<[^<>\n]{0,200}>>")
_TOO_LONG = 2 * MAX_ANSWER_LENGTH
_TAG = re.compile(r"<answer>", re.IGNORECASE)
_END_TAG = re.compile(r"</answer>", re.IGNORECASE)
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
    found = _find(CALCULATOR_NOTE.sub("", text), kind)
    return found.answer if found else None


def answer_start(text: str, kind: AnswerKind | Literal["math", "choice"] = "math") -> int | None:
    """Where the statement of the final answer begins: its box, its `####`, its phrase, or its number.

    >>> text = "6 + 12 = 18. The answer is 18 dollars."
    >>> text[answer_start(text) :]
    'answer is 18 dollars.'
    """
    found = _find(CALCULATOR_NOTE.sub("", text), kind)
    return _with_notes(text, found.start) if found else None


def _find(text: str, kind: AnswerKind | Literal["math", "choice"]) -> Statement | None:
    """The first rule that finds an answer in a piece of the text counts."""
    rules = (find_choice,) if kind == AnswerKind.CHOICE else (explicit_answer, _last_number)
    for rule in rules:
        for start, end in _piece_bounds(text):
            if found := rule(text[start:end]):
                return Statement(start + found.start, found.answer)
    return None


def _with_notes(text: str, place: int) -> int:
    """The place in a text with calculator notes that was `place` without them."""
    for note in CALCULATOR_NOTE.finditer(text):
        if note.start() > place:
            break
        place += len(note[0])
    return place


def pieces_of(text: str) -> list[str]:
    """The text in pieces, each starting with a next question: the first piece with an answer counts."""
    return [text[start:end] for start, end in _piece_bounds(text)]


def _piece_bounds(text: str) -> list[tuple[int, int]]:
    bounds = [0, *(match.start() for match in _NEXT_QUESTION.finditer(text)), len(text)]
    return [(start, end) for start, end in pairwise(bounds) if end > start]


def explicit_answer(text: str) -> Statement | None:
    return _last_tagged(text) or _untagged(text)


def _untagged(text: str) -> Statement | None:
    return _last_boxed(text) or _after_hashes(text) or _after_last_phrase(text)


def _last_tagged(text: str) -> Statement | None:
    """What the last `<Answer>` holds, to its end tag or, where that is missing, to the end."""
    for tag in reversed(list(_TAG.finditer(text))):
        content = text[tag.end() : tag.end() + _TOO_LONG]
        content = content[: end.start()] if (end := _END_TAG.search(content)) else content
        inner = _untagged(content)
        if answer := inner.answer if inner else _answer(content):
            return Statement(tag.start(), answer)
    return None


def _last_boxed(text: str) -> Statement | None:
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
            return Statement(box.start(), answer)
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


def _after_hashes(text: str) -> Statement | None:
    """What follows the first `####` that isn't a heading of Markdown."""
    for match in _HASHES.finditer(text):
        line = match[1].strip()
        if not _HEADING.match(line[:200]) and (answer := _answer(line)):
            return Statement(match.start(), answer)
    return None


def _after_last_phrase(text: str) -> Statement | None:
    for match in reversed(list(PHRASE.finditer(text))):
        if answer := _answer(after_phrase(text[match.end() : match.end() + MAX_ANSWER_LENGTH])):
            return Statement(match.start(), answer)
    return None


def _last_number(text: str) -> Statement | None:
    """The last number of the text: the last resort, and often not meant as the answer."""
    number = None
    for match in _NUMBER.finditer(text):
        number = match
    answer = _answer(number[0]) if number else None
    return Statement(number.start(), answer) if number and answer else None


def _answer(candidate: str) -> str | None:
    """The candidate, cleaned; None where nothing is left or it is too long for an answer."""
    if len(candidate) >= _TOO_LONG - 1:
        return None
    answer = printable(" ".join(candidate.split())).lstrip(" *_`,;:").rstrip(" *_`.,;:")
    return answer if 0 < len(answer) <= MAX_ANSWER_LENGTH and re.search(r"\w|[∞π∅]|\\", answer) else None
