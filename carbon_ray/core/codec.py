"""Values to JSON and back: the one way in which core's frozen values are stored, sent and shown.

Instants become ISO 8601 text in UTC, arrays lists, enumerations their values. Reading is driven by the target's type
annotations, refuses unknown and missing fields, and runs every `__post_init__` check again.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import numpy as np

from carbon_ray.core.clock import parse_utc

T = TypeVar("T")


def to_jsonable(value: object) -> Any:
    """The value as JSON types: dict, list, str, int, float, bool, None.

    Raises:
        TypeError: The value has a part with no JSON form.
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key) if isinstance(key, str) else json.dumps(to_jsonable(key)): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _read(target: Any, data: Any) -> Any:
    origin, args = typing.get_origin(target), typing.get_args(target)
    if origin in (types.UnionType, typing.Union):
        if data is None and type(None) in args:
            return None
        (member,) = [arg for arg in args if arg is not type(None)]
        return _read(member, data)
    if origin is np.ndarray and isinstance(data, (list, tuple)):
        return np.array(data, dtype=np.float64)
    if origin is tuple and isinstance(data, (list, tuple)):
        return tuple(_read(args[0], item) for item in data)
    if origin in (Mapping, dict) and isinstance(data, Mapping):
        is_text = isinstance(args[0], type) and issubclass(args[0], str)  # written as it is; every other key as JSON text
        return {_read(args[0], key if is_text else json.loads(key)): _read(args[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(target) and isinstance(target, type):
        return from_jsonable(target, data)
    if target is datetime:
        return parse_utc(data)
    if isinstance(target, type) and issubclass(target, Enum):
        return target(data)
    if target is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data)
    if target is typing.Any or target is object:
        return data
    if origin is None and isinstance(data, target) and (target is bool or not isinstance(data, bool)):
        return data
    raise TypeError(f"expected {target}, got {type(data).__name__}")


def from_jsonable(cls: type[T], data: Any) -> T:
    """The value of dataclass `cls` that `to_jsonable` made `data` of.

    Raises:
        TypeError: A field is unknown, missing or of the wrong type.
        ValueError: A field's value is refused.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"expected an object for {cls.__name__}, got {type(data).__name__}")
    hints = _hints(cls)  # type: ignore[arg-type]  # classes hash; mypy cannot tell of a TypeVar
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # every caller passes a dataclass
    if unknown := set(data) - names:
        raise TypeError(f"{cls.__name__} has no field {sorted(unknown)}")
    return cls(**{name: _read(hints[name], item) for name, item in data.items()})


def dumps(value: object) -> str:
    """The value as compact JSON text with sorted keys, so that equal values give equal bytes."""
    return json.dumps(to_jsonable(value), sort_keys=True, separators=(",", ":"), allow_nan=True)


def loads(cls: type[T], text: str | bytes) -> T:
    """The value that `dumps` made the text of.

    Raises:
        TypeError: A field is unknown, missing or of the wrong type.
        ValueError: The text is no JSON, or a field's value is refused.
    """
    return from_jsonable(cls, json.loads(text))
