"""The algebra of selections: `strict3 & number`, `(union | key) - stop`, `entropy@0.1`.

Operators bind as they do for Python's sets: `-` before `&` before `|`, each from left to right.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from cruxtune.errors import SelectionError

OPERATORS = ("|", "&", "-")
"""The loosest first."""

_LEXEME = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\s*(?P<at>@)\s*(?P<amount>[0-9.]*(?:[eE][-+]?[0-9]+)?))?"
    r"|(?P<sign>[-&|()])"
)
_MAX_DEPTH = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Term:
    """A name, with the number after its `@` where it has one."""

    name: str
    amount: float | None = None

    def __str__(self) -> str:
        return self.name if self.amount is None else f"{self.name}@{self.amount:g}"


@dataclass(frozen=True, slots=True)
class Combination:
    """Two formulas joined by `&` (both), `|` (either) or `-` (the first without the second)."""

    operator: str
    left: "Formula"
    right: "Formula"


Formula = Term | Combination


def parse_formula(text: str) -> Formula:
    """The formula that a text spells.

    >>> parse_formula("a & b")
    Combination(operator='&', left=Term(name='a', amount=None), right=Term(name='b', amount=None))
    """
    return _Parser(text).parse()


def terms_of(formula: Formula) -> Iterator[Term]:
    """All names in a formula, from left to right."""
    if isinstance(formula, Term):
        yield formula
    else:
        yield from terms_of(formula.left)
        yield from terms_of(formula.right)


def evaluate(formula: Formula, value_of: Callable[[Term], T], apply: Callable[[str, T, T], T]) -> T:
    """What a formula comes to, from the values of its terms and the meaning of its operators."""
    if isinstance(formula, Term):
        return value_of(formula)
    left, right = (evaluate(side, value_of, apply) for side in (formula.left, formula.right))
    return apply(formula.operator, left, right)


@dataclass(frozen=True, slots=True)
class _Lexeme:
    place: int
    sign: str
    term: Term | None = None

    def __str__(self) -> str:
        return "its end" if not self.sign else repr(self.sign)


class _Parser:
    """By recursive descent, one method a kind of thing."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self._lexemes = self._read()
        self._next = next(self._lexemes)

    def parse(self) -> Formula:
        formula = self._chain(0)
        if self._next.sign:
            self._refuse(f"expected &, | or -, found {self._next}", self._next.place)
        return formula

    def _chain(self, level: int) -> Formula:
        """Formulas of the next tighter level, joined by the operator of this one."""
        if level == len(OPERATORS):
            return self._atom()
        formula = self._chain(level + 1)
        while self._next.sign == OPERATORS[level]:
            self._take()
            formula = Combination(OPERATORS[level], formula, self._chain(level + 1))
        return formula

    def _atom(self) -> Formula:
        lexeme = self._take()
        if lexeme.term:
            return lexeme.term
        if lexeme.sign != "(":
            self._refuse(f"expected a name or '(', found {lexeme}", lexeme.place)
        return self._inside(lexeme)

    def _inside(self, opening: _Lexeme) -> Formula:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse("too many parentheses", opening.place)
        formula = self._chain(0)
        if self._take().sign != ")":
            self._refuse("this '(' is not closed", opening.place)
        self._depth -= 1
        return formula

    def _take(self) -> _Lexeme:
        taken = self._next
        self._next = next(self._lexemes, taken)
        return taken

    def _read(self) -> Iterator[_Lexeme]:
        place = self._skip_spaces(0)
        while place < len(self._text):
            found = _LEXEME.match(self._text, place)
            if found is None:
                self._refuse(f"{self._text[place]!r} has no meaning here", place)
            yield _Lexeme(place, found[0], self._term(found) if found["name"] else None)
            place = self._skip_spaces(found.end())
        yield _Lexeme(len(self._text), "")

    def _term(self, found: re.Match[str]) -> Term:
        try:
            return Term(found["name"], float(found["amount"]) if found["at"] else None)
        except ValueError:
            self._refuse("expected a number after '@'", found.end("at"))

    def _skip_spaces(self, place: int) -> int:
        return place + len(self._text[place:]) - len(self._text[place:].lstrip())

    def _refuse(self, what: str, place: int) -> NoReturn:
        raise SelectionError(f"{what} at ▸ in {self._text[:place] + '▸' + self._text[place:]!r}")
