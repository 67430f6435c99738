"""Option letters: which one a response chose, and which one a reference names."""

import re

from cruxtune.verify.statement import Statement

_LETTER = r"(?:\\text\s?\{|\\mathrm\s?\{|\\textbf\s?\{|\*\*|[$(\[\"'`])*(?P<letter>[A-J])(?![A-Za-z0-9'’])"
_DECORATED = (
    r"(?=[)\]}.:,;*$\"`]|\s*$|\s*\n|\s+(?:[A-Z0-9(]|is\b|because\b|since\b|as\b|and\b|which\b|option\b))"
)
_TAGGED = re.compile(r"(?i:<answer>)\s{0,9}" + _LETTER + r"(?=[)\]}.:,;*$\"`<]|\s{0,9}(?:<|$))")
_BOXED = re.compile(r"\\f?boxed\s?\{\s?" + _LETTER)
_HASHES = re.compile(r"####[ \t]*" + _LETTER + _DECORATED)
_PHRASE = re.compile(
    r"(?i:\b(?:answer|choice|option|letter)(?:\s(?:choice|option|letter))?\s?(?:\*\*)?\s?"
    r"(?:is|would be|[:=])\s?:?\s{0,3}(?:(?:the\s)?(?:option|choice|letter|answer)\s(?:is\s)?)?)"
    + _LETTER
    + _DECORATED
)
_NAMED = re.compile(r"(?i:\b(?:option|choice|answer))\s" + _LETTER + _DECORATED)
_BRACKETED = re.compile(r"(?<![A-Za-z0-9])\((?P<letter>[A-J])\)")
_OWN_LINE = re.compile(r"^\s{0,9}" + _LETTER + r"(?=[).:*\]\"$]|\s*$)", re.MULTILINE)
_STANDING = re.compile(r"(?<![A-Za-z0-9'’.])(?P<letter>[B-HJ]|[AI](?=[.)\s]{0,3}$))(?![A-Za-z0-9'’-])")
_LAST_OF = (_TAGGED, _BOXED, _HASHES, _PHRASE, _NAMED, _BRACKETED, _OWN_LINE, _STANDING)
_ALONE = re.compile(r"\W*(?:\\text\{)?\W*([A-Ja-j])\W*")


def extract_choice(text: str) -> str | None:
    """The option letter that a response settles on; never the article "A" or the pronoun "I".

    >>> extract_choice("A dog barks, so the answer is (C)."), extract_choice("The answer is A dog.")
    ('C', None)
    """
    found = find_choice(text)
    return found.answer if found else None


def find_choice(text: str) -> Statement | None:
    """The letter that a response settles on, and where it says so."""
    for pattern in _LAST_OF:
        last = None
        for match in pattern.finditer(text):
            last = match
        if last:
            return Statement(last.start(), last["letter"])
    return None


def as_letter(answer: str, choices: tuple[str, ...] = ()) -> str | None:
    """The letter that a bare answer names: itself a letter, or the text of one of the options.

    >>> as_letter("(b)"), as_letter("Paris", ("Rome", "Paris")), as_letter("Oslo", ("Rome", "Paris"))
    ('B', 'B', None)
    """
    options = [" ".join(choice.casefold().split()) for choice in choices]
    written = " ".join(answer.casefold().split())
    if written in options:
        return chr(ord("A") + options.index(written))
    match = _ALONE.fullmatch(answer)
    return match[1].upper() if match else None
