"""The stop rule: whether anything that may follow a text can still change its final answer.

A text is settled by a made-up next question after a stated answer: `extract` takes the first piece that
states one, and nothing reopens a piece. Before that, a later box or phrase may count instead.
"""

import re
from dataclasses import dataclass

from cruxtune.records import AnswerKind
from cruxtune.verify.choice import extract_choice
from cruxtune.verify.extract import CALCULATOR_NOTE, explicit_answer, pieces_of

_OPEN_NOTE = re.compile(r"(?:<|<<[^<>\n]{0,200}>?)\Z")
"""A calculator note that more text could complete, and so take out of the text."""
_LONGEST_OPEN_NOTE = 203


def is_settled(text: str, kind: AnswerKind = AnswerKind.MATH) -> bool:
    r"""Whether no continuation of the text changes what `extract_answer` finds in it.

    True for a text is true for everything that begins with it.

    >>> is_settled("#### 18"), is_settled("#### 18\n\nQuestion"), is_settled("#### 18\n\nQuestion:")
    (False, False, True)
    """
    *closed, _ = pieces_of(CALCULATOR_NOTE.sub("", _without_open_note(text))) or [""]
    find = extract_choice if kind is AnswerKind.CHOICE else explicit_answer
    return any(find(piece) for piece in closed)


@dataclass(frozen=True, slots=True)
class StopRule:
    """Whether a text is settled as an answer of each of several kinds; what engines are given."""

    kinds: tuple[AnswerKind, ...]

    def __call__(self, text: str) -> bool:
        return bool(self.kinds) and all(is_settled(text, kind) for kind in self.kinds)


def _without_open_note(text: str) -> str:
    """The part of the text of which more text can take nothing away."""
    before = max(len(text) - _LONGEST_OPEN_NOTE, 0)
    opened = _OPEN_NOTE.search(text[before:])
    return text[: before + opened.start()] if opened else text
