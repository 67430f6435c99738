"""From a TOML file and command-line overrides to a Recipe: defaults < file < override."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cruxtune.errors import RecipeError
from cruxtune.recipe.complaints import describe
from cruxtune.recipe.recipe import Recipe


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, or one that ships by name, with `section.key=value` overrides."""
    path = find_recipe(name_or_path)
    return parse_recipe(_read(path), overrides, default_name=path.stem)


def parse_recipe(text: str, overrides: Sequence[str] = (), default_name: str = "run") -> Recipe:
    """The recipe that a TOML text describes."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}") from error
    for override in overrides:
        _apply(values, override)
    values.setdefault("name", default_name)
    values.setdefault("output_dir", str(Path("runs") / str(values["name"])))
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(describe(error, Recipe)) from error


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe given by path, or by the name of one that ships."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    raise RecipeError(
        f"there is no recipe file {str(name_or_path)!r}, and none of that name ships "
        f"({', '.join(shipped)}): `cruxtune init my.toml` writes one to start from"
    )


def shipped_recipes() -> dict[str, Path]:
    """Name and file of every recipe inside the package."""
    folder = Path(str(resources.files("cruxtune"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"can't read the recipe {path}: {error}") from error


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
