"""Spelling, not meaning: the many ways of writing one answer, brought to one way.

Every pattern here takes time in proportion to the length of the text.
"""

import re
from collections.abc import Callable
from functools import lru_cache

MAX_ANSWER_LENGTH = 1000
"""Characters; a longer text is nobody's final answer, and is compared as text only."""

_CHARACTERS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "×": "\\times ",
        "·": "\\cdot ",
        "÷": "/",
        "π": "\\pi ",
        "∞": "\\infty ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "≠": "\\ne ",
        "°": "^\\circ ",
        "²": "^2",
        "³": "^3",
        "½": "\\frac{1}{2}",
        "¼": "\\frac{1}{4}",
        "¾": "\\frac{3}{4}",
        "\t": " ",
        "\n": " ",
        "\r": " ",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)
_SPELLINGS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r",\\!|\{,\}"), ","),
    (re.compile(r",\\[,;: ]"), ", "),
    (re.compile(r"(?<!\\)\\[!,]"), ""),
    (re.compile(r"(?<!\\)\\[;: ]|\\q?quad(?![a-zA-Z])|~"), " "),
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?"), ""),
    (re.compile(r"\\displaystyle(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:textbf|textit|textrm|textnormal|mathrm|mbox)(?=\s*\{)"), r"\\text"),
    (re.compile(r"\\(leq|geq|neq)(?![a-zA-Z])"), lambda m: "\\" + m[1][:-1]),
    (re.compile(r"(?<!\\)\\[()\[\]]"), " "),
    (re.compile(r"\\%"), "%"),
]
_BOX = re.compile(r"\\(?:boxed|fbox|text)\s*\{(.*)\}")
_DOLLAR = re.compile(r"(?<!\\)\$")
_LOOSE_SPACE = re.compile(r" (?![0-9A-Za-z])|(?<![0-9A-Za-z]) ")


def printable(text: str) -> str:
    """The text without control characters, direction marks and lone surrogates."""
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    r"""The same answer in plain LaTeX spelling, without `$…$`, `\boxed` or a full stop at its end.

    >>> tidy(r"$\boxed{\dfrac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    text = printable(text.translate(_CHARACTERS))
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    text = _without_dollars(text)
    return _unwrapped(_without_ends(" ".join(text.split())))


def squeezed(text: str) -> str:
    """The text without spaces that part nothing: a space stays only between letters and digits."""
    return _LOOSE_SPACE.sub("", text)


def _without_dollars(text: str) -> str:
    r"""Dollars in pairs delimit formulas and go; a lone or escaped one is a currency sign."""
    if len(_DOLLAR.findall(text)) % 2 == 0:
        text = _DOLLAR.sub(" ", text)
    return text.replace("\\$", "$")


def _unwrapped(text: str) -> str:
    r"""The inside of a `\boxed{…}` or `\text{…}` that is the whole text."""
    while (match := _BOX.fullmatch(text)) and _is_balanced(match[1]):
        text = _without_ends(match[1])
    return text


def _is_balanced(text: str) -> bool:
    """Whether no brace closes that the text has not opened."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _without_ends(text: str) -> str:
    return text.lstrip(" ,;").rstrip(" .,;")
