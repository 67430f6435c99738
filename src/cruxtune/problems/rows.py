"""Rows with named columns to problems; every complaint names the file, the row and the remedy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    where = f"{source}, row {index + 1}"
    return Problem(
        id=_text(row, columns.id, where) if columns.id else f"{source}/{index}",
        question=_text(row, columns.question, where),
        answer=_text(row, columns.answer, where),
        kind=kind,
        source=source,
        choices=_choices(row, columns.choices, where) if columns.choices else (),
    )


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = _cell(row, column, where)
    text = str(value).strip() if value is not None else ""
    if not text:
        raise ProblemError(f"{where}: the column {column!r} is empty")
    return text


def _choices(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    value = _cell(row, column, where)
    options = value.values() if isinstance(value, Mapping) else value
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise ProblemError(f"{where}: the column {column!r} must hold a list of options, not {value!r}")
    return tuple(str(option) for option in options)


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise ProblemError(
            f"{where}: there is no column {column!r}, only {', '.join(map(repr, row))}: "
            "name the right ones with question_column and answer_column"
        )
    return row[column]
