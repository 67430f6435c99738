"""Records as Arrow tables: one column a leaf field, derived from the dataclasses' own types."""

import dataclasses
import types
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

R = TypeVar("R")

SCHEMA_VERSION = 2
"""Raised when a column changes its name, type or meaning."""


def to_table(records: Sequence[R], record_type: type[R]) -> pa.Table:
    """The records as rows of the type's schema."""
    return pa.Table.from_pylist([_flatten(record) for record in records], schema=schema_of(record_type))


def from_table(table: pa.Table, record_type: type[R]) -> Iterator[R]:
    """The rows of a table as records."""
    for row in table.to_pylist():
        yield _build(row, record_type)


def schema_of(record_type: Any) -> pa.Schema:
    """Arrow schema of a record type; nested records give their fields, not a struct."""
    return pa.schema(list(_fields(record_type)))


def _fields(record_type: Any) -> Iterator[pa.Field]:
    for name, hint in _hints(record_type).items():
        if dataclasses.is_dataclass(hint):
            yield from _fields(hint)
        else:
            yield pa.field(name, _arrow_type(hint), nullable=_is_optional(hint))


@cache
def _hints(record_type: type) -> dict[str, Any]:
    return get_type_hints(record_type)


def _arrow_type(hint: Any) -> pa.DataType:
    if _is_optional(hint):
        (hint,) = (argument for argument in get_args(hint) if argument is not types.NoneType)
    if get_origin(hint) in (list, tuple):
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, str):
        return pa.string()
    return {int: pa.int32(), float: pa.float32(), bool: pa.bool_()}[hint]


def _is_optional(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and types.NoneType in get_args(hint)


def _flatten(record: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        row |= _flatten(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return row


def _build(row: dict[str, Any], record_type: Any) -> Any:
    return record_type(**{name: _value(row, name, hint) for name, hint in _hints(record_type).items()})


def _value(row: dict[str, Any], name: str, hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(row, hint)
    if get_origin(hint) is tuple:
        return tuple(row[name])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(row[name])
    return row[name]
