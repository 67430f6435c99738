"""Recipe files: where they are, and what one has from those that it extends."""

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from cruxtune.errors import RecipeError

Values = dict[str, Any]
OWN = ("name", "output_dir")
"""What no recipe has from another one."""


def find_recipe(name_or_path: str | Path, folder: Path = Path()) -> Path:
    """The file of a recipe given by path (from a folder on), or by the name of one that ships."""
    path = folder / name_or_path
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    near = difflib.get_close_matches(str(name_or_path), shipped, n=4)
    raise RecipeError(
        f"there is no recipe file {str(name_or_path)!r}, and none of that name ships "
        f"({', '.join(near or [name for name in shipped if '/' not in name])}, …): "
        "`cruxtune init my.toml` writes one to start from"
    )


def shipped_recipes(suffix: str = "toml") -> dict[str, Path]:
    """Name and file of every recipe inside the package; those in folders are called `tiny/cft`.

    `yaml` gives accelerate's configurations instead.
    """
    folder = _shipped_folder()
    paths = sorted(folder.rglob(f"*.{suffix}"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def name_of(path: Path) -> str:
    """What a recipe is called that doesn't say it: by its file, one that ships also by its folder."""
    folder = _shipped_folder()
    own = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return "-".join(own.with_suffix("").parts)


def read_values(path: Path) -> Values:
    """What a file says, over what the recipes say that it extends."""
    return _read(path, ())


def values_of(text: str, folder: Path = Path()) -> Values:
    """The same of a text; what it extends is a path from the folder on, or ships."""
    return _inherit(_parse(text), folder, ())


def merged(base: Values, over: Mapping[str, Any]) -> Values:
    """Tables are merged key by key, a table of another `type` and all that is no table take the place.

    >>> merged({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]})
    {'a': {'x': 1, 'y': 3}, 'b': [2]}
    >>> merged({"a": {"type": "all"}}, {"a": {"type": "strict", "k": 2}})
    {'a': {'type': 'strict', 'k': 2}}
    """
    result = dict(base)
    for key, value in over.items():
        known: Any = result.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        result[key] = merged(known, value) if both and _is_same_kind(known, value) else value
    return result


def _is_same_kind(known: Values, value: Values) -> bool:
    return "type" not in value or value["type"] == known.get("type")


def _read(path: Path, below: tuple[Path, ...]) -> Values:
    path = path.resolve()
    if path in below:
        raise RecipeError(f"a recipe can't extend itself: {' → '.join(map(str, (*below, path)))}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"can't read the recipe {path}: {error}") from error
    return _inherit(_parse(text), path.parent, (*below, path))


def _inherit(values: Values, folder: Path, below: tuple[Path, ...]) -> Values:
    result: Values = {}
    for name in _names(values.pop("extends", [])):
        inherited = _read(find_recipe(name, folder), below)
        result = merged(result, {key: value for key, value in inherited.items() if key not in OWN})
    return merged(result, values)


def _names(extends: Any) -> list[str]:
    names = [extends] if isinstance(extends, str) else extends
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(f"`extends` is the name of a recipe, or a list of names (found {extends!r})")
    return names


def _parse(text: str) -> Values:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}") from error


def _shipped_folder() -> Path:
    return Path(str(resources.files("cruxtune"))) / "recipes"
