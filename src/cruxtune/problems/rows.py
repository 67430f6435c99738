"""Rows with named columns to problems; every complaint names the file, the row and the remedy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from cruxtune.errors import ProblemError
from cruxtune.records import AnswerKind, Problem


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what."""

    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    choices: str | None = None


def to_problems(
    rows: Iterable[Mapping[str, Any]], columns: Columns, kind: AnswerKind, source: str
) -> list[Problem]:
    """One problem a row, with ids `source/row` unless a column has them."""
    problems = [_problem(row, index, columns, kind, source) for index, row in enumerate(rows)]
    if not problems:
        raise ProblemError(f"{source} holds no problems")
    refuse_duplicates(problems, source)
    return problems


def refuse_duplicates(problems: Sequence[Problem], source: str) -> None:
    """Raises where an id occurs twice: ids tie solutions, evidence and responses together."""
    seen: dict[str, int] = {}
    for index, problem in enumerate(problems):
        if problem.id in seen:
            raise ProblemError(
                f"{source}: rows {seen[problem.id] + 1} and {index + 1} have the same id {problem.id!r}: "
                "give each its own, or leave id_column out"
            )
        seen[problem.id] = index


def _problem(row: Mapping[str, Any], index: int, columns: Columns, kind: AnswerKind, source: str) -> Problem:
    cells = _Cells(row, f"{source}, row {index + 1}")
    return Problem(
        id=cells.text(columns.id, "id") if columns.id else f"{source}/{index}",
        question=cells.text(columns.question, "question"),
        answer=cells.text(columns.answer, "answer"),
        kind=kind,
        source=source,
        choices=cells.choices(columns.choices) if columns.choices else (),
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row, and how complaints name it."""

    row: Mapping[str, Any]
    where: str

    def text(self, column: str, role: str) -> str:
        """The text of a cell, which may not be empty."""
        value = self._value(column, role)
        text = str(value).strip() if value is not None else ""
        if not text:
            raise ProblemError(f"{self.where}: the column {column!r} is empty")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ProblemError(
                f"{self.where}: the column {column!r} holds half a character (a lone surrogate)"
            )
        return text

    def choices(self, column: str) -> tuple[str, ...]:
        """The options of a cell: a list, or an object with their letters as keys."""
        value = self._value(column, "choices")
        options = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else value
        if not isinstance(options, list) or len(options) > len(ascii_uppercase):
            raise ProblemError(
                f"{self.where}: the column {column!r} must hold a list of up to {len(ascii_uppercase)} "
                f"options, not {value!r:.80}"
            )
        return tuple(str(option) for option in options if option is not None)

    def _value(self, column: str, role: str) -> Any:
        if column not in self.row:
            raise ProblemError(
                f"{self.where}: there is no column {column!r}, only {', '.join(map(repr, self.row))}: "
                f"name the right one with {role}_column"
            )
        return self.row[column]
