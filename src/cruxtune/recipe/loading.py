"""From a TOML file and command-line overrides to a Recipe: defaults < what it extends < file < override."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cruxtune.errors import RecipeError
from cruxtune.recipe.complaints import describe
from cruxtune.recipe.inheritance import find_recipe, name_of, read_values, values_of
from cruxtune.recipe.recipe import Recipe


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, or one that ships by name, with `section.key=value` overrides."""
    path = find_recipe(name_or_path)
    return _build(read_values(path), overrides, name_of(path))


def parse_recipe(text: str, overrides: Sequence[str] = (), default_name: str = "run") -> Recipe:
    """The recipe that a TOML text describes."""
    return _build(values_of(text), overrides, default_name)


def _build(values: dict[str, Any], overrides: Sequence[str], default_name: str) -> Recipe:
    for override in overrides:
        _apply(values, override)
    values.setdefault("name", default_name)
    values.setdefault("output_dir", str(Path("runs") / str(values["name"])))
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(describe(error, Recipe)) from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(
            f"{override!r} is not an override: write section.key=value, such as train.num_epochs=1"
        )
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{override!r}: {section} is a value, not a section")
    values[last] = _toml_value(text)


def _toml_value(text: str) -> Any:
    """The text as a TOML value; what is none is a plain string, so that quotes can be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
