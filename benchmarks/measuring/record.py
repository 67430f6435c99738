"""The files that a benchmark leaves, written again after each table: hours of work are not lost."""

import json
from pathlib import Path
from typing import Any


class Record:
    """A JSON file with all numbers, and beside it the tables in Markdown."""

    def __init__(self, output: Path, conditions: dict[str, Any]) -> None:
        self.json = output
        self.markdown = output.with_suffix(".md")
        self._conditions = conditions
        self._numbers: list[dict[str, Any]] = []
        self._tables: list[str] = []

    def add(self, numbers: dict[str, Any], table: str) -> None:
        """One table's numbers, and the same in Markdown."""
        self._numbers.append(numbers)
        self._tables.append(table)
        everything = {"conditions": self._conditions, "tables": self._numbers}
        self.json.write_text(json.dumps(everything, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        named = ", ".join(f"{name} {value}" for name, value in self._conditions.items() if value is not None)
        self.markdown.write_text("\n".join([f"{named}\n", *self._tables]), encoding="utf-8")
