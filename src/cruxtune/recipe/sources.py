"""Where problems, and solutions of others, come from: one section type a source, told apart by `type`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from cruxtune.recipe.settings import Seed, Settings
from cruxtune.records import AnswerKind


class SyntheticProblems(Settings):
    """Word problems from the project's own generator; they need no file and no network."""

    type: Literal["synthetic"] = "synthetic"
    split: Literal["train", "validation", "test", "hard"] = "train"
    num_problems: PositiveInt = 200
    seed: Seed = 0


class Rows(Settings):
    """A table with one problem a row, in named columns."""

    question_column: str = "question"
    answer_column: str = "answer"
    id_column: str | None = None
    """A column of unique ids; without it a row's id is the table's name and its number."""
    choices_column: str | None = None
    """A column with the list of options, for `kind = "choice"`."""
    kind: AnswerKind = AnswerKind.MATH
    num_problems: PositiveInt | None = None
    """Take only the first so many; all when absent."""


class FileProblems(Rows):
    """A JSONL, CSV or Parquet file with one problem a row."""

    type: Literal["file"] = "file"
    path: Path


class HubProblems(Rows):
    """A data set of the Hugging Face Hub with one problem a row."""

    type: Literal["hub"] = "hub"
    name: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    """A commit; without it the newest is taken. What was loaded is hashed in the manifest either way."""


class Gsm8kProblems(Settings):
    """GSM8K (Cobbe et al., 2021), from the Hub at a pinned revision or from its JSONL file."""

    type: Literal["gsm8k"] = "gsm8k"
    split: Literal["train", "test"] = "train"
    path: Path | None = None
    num_problems: PositiveInt | None = None


class MathProblems(Settings):
    """MATH (Hendrycks et al., 2021), from the Hub at a pinned revision or from a JSONL file."""

    type: Literal["math"] = "math"
    split: Literal["train", "test"] = "train"
    path: Path | None = None
    num_problems: PositiveInt | None = None


ProblemSource = Annotated[
    SyntheticProblems | FileProblems | HubProblems | Gsm8kProblems | MathProblems,
    Field(discriminator="type"),
]


class FileSolutions(Settings):
    """A JSONL, CSV or Parquet file with one response a row; those that verification finds right are kept."""

    type: Literal["file"] = "file"
    path: Path
    problem_column: str = "problem"
    """Of the id of one of the recipe's problems, or of its question."""
    response_column: str = "response"


class RunSolutions(Settings):
    """The right greedy solutions of another model: the output directory of its run."""

    type: Literal["run"] = "run"
    path: Path
    model: str | None = None
    """Where that model is now, for its tokenizer; default: the name in the run's manifest."""
    revision: str | None = None


SolutionSource = Annotated[FileSolutions | RunSolutions, Field(discriminator="type")]
