"""MATH (Hendrycks et al., 2021): the gold answer is the last `\\boxed` of the solution."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cruxtune.errors import ProblemError
from cruxtune.problems.files import read_rows
from cruxtune.problems.hub import read_hub
from cruxtune.problems.rows import Columns, to_problems
from cruxtune.records import AnswerKind, Problem

logger = logging.getLogger(__name__)

REPOSITORY = "EleutherAI/hendrycks_math"
REVISION = "21a5633873b6a120296cce3e2df9d5550074f4a3"
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


def load_math(split: str, path: Path | None = None) -> list[Problem]:
    """All problems of a split, from a JSONL file or from the Hub at a pinned revision."""
    rows = list(read_rows(path) if path else _read_subjects(split))
    graded = [row for row in _with_answers(rows, f"math/{split}") if row["answer"]]
    if len(graded) < len(rows):
        logger.warning(
            "math/%s: %d of %d rows have no answer and are left out",
            split,
            len(rows) - len(graded),
            len(rows),
        )
    return to_problems(graded, Columns(question="problem", id="id"), AnswerKind.MATH, f"math/{split}")


def _read_subjects(split: str) -> Iterator[dict[str, Any]]:
    for subject in SUBJECTS:
        yield from read_hub(REPOSITORY, subject, split, REVISION)


def _with_answers(rows: list[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(rows):
        try:
            answer = last_boxed(str(row.get("solution", ""))).strip()
        except ProblemError as error:
            raise ProblemError(f"{source}, row {index + 1}: {error}") from error
        yield {**row, "id": f"{source}/{index}", "answer": answer}


def last_boxed(solution: str) -> str:
    r"""The contents of the last `\boxed{…}` or `\fbox{…}`, braces matched by counting.

    >>> last_boxed(r"so \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    start = max(solution.rfind("\\boxed"), solution.rfind("\\fbox"))
    if start < 0:
        raise ProblemError(f"the solution has no \\boxed answer: {solution!r:.80}")
    tail = solution[start:]
    if "{" not in tail or tail.partition("{")[0].strip() not in ("\\boxed", "\\fbox"):
        return tail.partition(" ")[2].split("$")[0].strip()
    return _braced(tail.partition("{")[2])


def _braced(text: str) -> str:
    depth = 1
    for index, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[:index]
    raise ProblemError(f"the \\boxed answer is never closed: {text!r:.80}")
