"""The files that a benchmark leaves, written again after each table: hours of work are not lost."""

import json
from pathlib import Path
from typing import Any

from annotation.tables import Table, to_markdown, to_numbers


class Record:
    """A JSON file with all numbers, and beside it the tables in Markdown."""

    def __init__(self, output: Path, conditions: dict[str, Any]) -> None:
        self.json = output
        self.markdown = output.with_suffix(".md")
        self._conditions = conditions
        self._tables: list[Table] = []

    def add(self, table: Table) -> None:
        self._tables.append(table)
        numbers = {"conditions": self._conditions, "tables": [to_numbers(table) for table in self._tables]}
        self.json.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        named = ", ".join(f"{name} {value}" for name, value in self._conditions.items() if value is not None)
        parts = [f"{named}\n", *(to_markdown(table) for table in self._tables)]
        self.markdown.write_text("\n".join(parts), encoding="utf-8")
