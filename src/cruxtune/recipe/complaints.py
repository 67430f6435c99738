"""A pydantic error as one line that names the key, what is wrong, and the nearest right key."""

import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Location = Sequence[int | str]


def describe(error: ValidationError, root: type[BaseModel]) -> str:
    """All complaints of a ValidationError in one line."""
    return "; ".join(dict.fromkeys(_complaint(item, root) for item in error.errors(include_url=False)))


def _complaint(item: Any, root: type[BaseModel]) -> str:
    location: Location = item["loc"]
    key = _dotted(root, location)
    if item["type"] == "extra_forbidden":
        return f"unknown key `{key}`{_nearest(root, location)}"
    if item["type"] == "missing":
        return f"`{key}` is missing"
    if item["type"] == "union_tag_not_found":
        return f"`{key}.type` is missing: it says which kind this is"
    message = item["msg"].removeprefix("Value error, ")
    found = "" if isinstance(item["input"], dict | BaseModel) else f" (found {item['input']!r})"
    return f"`{key}`: {message}{found}" if key else message


def _nearest(root: type[BaseModel], location: Location) -> str:
    models = _models_at(root, location[:-1])
    known = [name for model in models for name in model.model_fields]
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f": did you mean `{close[0]}`?" if close else f": known here are {', '.join(known)}"


def _dotted(root: type[BaseModel], location: Location) -> str:
    """The key as the user wrote it: pydantic puts a union's tag into the location, TOML does not."""
    written = [part for index, part in enumerate(location) if not _is_tag(root, location[:index], part)]
    return ".".join(str(part) for part in written)


def _is_tag(root: type[BaseModel], before: Location, part: int | str) -> bool:
    members = _models_at(root, before)
    return len(members) > 1 and any(part == _tag(member) for member in members)


def _models_at(root: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    """The sections that may stand at a location: several where a union is not yet told apart."""
    here: Any = root
    for part in location:
        here = _step(here, part)
    return _members(here)


def _step(annotation: Any, part: int | str) -> Any:
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    members = _members(annotation)
    if len(members) > 1:
        return next((member for member in members if _tag(member) == part), None)
    fields = members[0].model_fields if members else {}
    return fields[str(part)].annotation if str(part) in fields else None


def _members(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, typing.Annotated):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return []


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    return get_args(field.annotation)[0]
