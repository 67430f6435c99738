"""GSM8K (Cobbe et al., 2021): the gold answer is what follows `####`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cruxtune.errors import ProblemError
from cruxtune.problems.files import read_rows
from cruxtune.problems.hub import read_hub
from cruxtune.problems.rows import Columns, to_problems
from cruxtune.records import AnswerKind, Problem

REPOSITORY = "openai/gsm8k"
REVISION = "740312add88f781978c0658806c59bc2815b9866"


def load_gsm8k(split: str, path: Path | None = None) -> list[Problem]:
    """All problems of a split, from a JSONL file or from the Hub at a pinned revision."""
    rows = read_rows(path) if path else read_hub(REPOSITORY, "main", split, REVISION)
    return to_problems(
        _with_final_answers(rows, f"gsm8k/{split}"), Columns(), AnswerKind.MATH, f"gsm8k/{split}"
    )


def _with_final_answers(rows: Iterable[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        _, mark, final = str(row.get("answer", "")).rpartition("####")
        if not mark:
            raise ProblemError(
                f"{source}, row {number}: the answer has no `####` line: {row.get('answer')!r:.80}"
            )
        yield {**row, "answer": final}
