"""What all selections have in common."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from cruxtune.errors import SelectionError
from cruxtune.recipe.settings import Name, Settings
from cruxtune.select.formula import parse_formula


def parsed(text: str) -> str:
    """The formula itself, if it is one."""
    try:
        parse_formula(text)
    except SelectionError as error:
        raise ValueError(str(error)) from error
    return text


FormulaText = Annotated[str, Field(max_length=1000)]


def _alone(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


SetNames = Annotated[tuple[Name, ...], BeforeValidator(_alone), Field(min_length=1)]
"""`greedy`, `sampled`, names under [solutions]: one, or a list."""


class Rule(Settings):
    """A selection among the tokens of some solutions."""

    solutions: SetNames | None = None
    """Which ones; when absent, those of the selections that it names, else the greedy ones."""
