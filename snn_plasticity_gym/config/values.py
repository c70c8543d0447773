"""One setting: its description, validation of its values, and parsing of text.

Values are validated by pydantic; errors are one line. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import os
import reprlib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

_BOUNDS = {"ge": "greater than or equal to", "gt": "greater than", "le": "less than or equal to", "lt": "less than"}
_PLURALS = {int: "integers", float: "numbers", str: "texts"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_NONE_TEXTS = ("", "None", "none", "null")  # None in a shell, a W&B sweep and YAML

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class ConfigError(ValueError):
    """Error of one line: the value given, the values allowed, the remedy."""


@dataclasses.dataclass(frozen=True)
class SettingInfo:
    """Description of one setting; flags, sweeps and tables in the documentation are generated from it."""

    name: str
    type: Any  # as annotated, e.g. int, float | None, tuple[float, ...]
    default: Any
    help: str
    unit: str = ""
    section: str = ""
    choices: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()  # e.g. (("ge", 1), ("lt", 10)); of a tuple, they hold for each element
    json: bool = False  # a text with a JSON object; a mapping is converted to one
    was: tuple[str, ...] = ()  # earlier names
    basic: bool = False  # whether `--help` shows it
    path: bool = False  # whether a leading ~ is expanded

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""
        return type(None) in get_args(self.type)

    @property
    def kind(self) -> Any:
        """The type without None, e.g. float for `float | None`."""
        return _kind(self.type)

    @property
    def range(self) -> str:
        """The bounds as text, e.g. "greater than 0 and less than or equal to 1"; empty without bounds."""
        return " and ".join(f"{_BOUNDS[key]} {bound}" for key, bound in self.bounds)

    @property
    def described(self) -> str:
        """Help, default and limits for the command line and docstrings."""
        parts = self.default if isinstance(self.default, tuple) else (self.default,)
        default = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
        unit = f" {self.unit}" if self.unit and self.default is not None else ""
        facts = [f"default: {default or repr('')}{unit}"]
        if self.choices:
            facts.append(f"one of: {', '.join(self.choices)}")
        facts += [f"{_SIGNS[key]} {bound}" for key, bound in self.bounds]
        return f"{self.help} ({'; '.join(facts)})"


def nearest(name: object, names: Iterable[str]) -> str | None:
    """Return the closest name, or None; case-insensitive."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """Return the message for an unknown name: the nearest one, or all of them if none is near."""
    names = list(names)
    near = nearest(name, names)
    remedy = f"did you mean {near!r}?" if near else f"valid names: {', '.join(names) or 'none'}"
    return f"unknown {what} {_short.repr(name)}; {remedy}"


def checked(info: SettingInfo, given: Any) -> tuple[Any, str]:
    """Return the value in its plain Python type, and an error message (empty if valid)."""
    if info.json:
        given, problem = _json_text(info.name, given)
        if problem:
            return given, problem
    try:
        value = _adapter(info.type, info.bounds).validate_python(_plain(given), strict=True)
    except ValidationError as errors:
        return given, _describe(info, given, errors)
    if info.choices and value is not None and value not in info.choices:
        near = nearest(value, info.choices)
        hint = f"; did you mean {near!r}?" if near else ""
        return given, f"{info.name} must be one of {', '.join(info.choices)}, got {show(given)}{hint}"
    return _expanded(value) if info.path else value, ""


def _json_text(name: str, given: Any) -> tuple[Any, str]:
    """Return the canonical JSON text of a mapping or a text, and an error message."""
    try:
        value = json.loads(given) if isinstance(given, str) else dict(given)
        if isinstance(value, dict):
            return json.dumps(value, sort_keys=True), ""
    except (TypeError, ValueError):
        pass
    return given, f'{name} must be a mapping or a JSON object as in {{"key": 1}}, got {show(given)}'


def _expanded(value: Any) -> Any:
    """Expand ~ in a path, or in each of several; without a known home it is left."""
    if isinstance(value, tuple):
        return tuple(map(_expanded, value))
    return os.path.expanduser(value) if isinstance(value, str) else value


def _describe(info: SettingInfo, given: Any, errors: ValidationError) -> str:
    error = errors.errors(include_url=False)[0]
    place = "".join(f"[{index}]" for index in error["loc"])
    if error["type"].startswith(("greater_than", "less_than")):
        allowed = info.range
    else:
        allowed = error["msg"].removeprefix("Input should be ")
        if error["type"] == "tuple_type":
            allowed = f"a list of {_PLURALS[get_args(info.kind)[0]]}"
        allowed += f", {info.range}" if info.range and not place else ""
    none = " or None" if info.optional else ""
    value = error["input"] if place else given
    return f"{info.name}{place} must be {allowed}{none}, got {show(value)}"


@functools.cache  # not kept on the class: classes of a script are pickled by value, and stay plain this way
def _adapter(type_: Any, bounds: tuple[tuple[str, float], ...]) -> TypeAdapter[Any]:
    """Return Pydantic's validator for a type with bounds of its numbers (a tuple's elements)."""
    kind = _kind(type_)
    if get_origin(kind) is tuple:
        elements = tuple(e if e is Ellipsis else _bounded(e, bounds) for e in get_args(kind))
        kind = tuple[elements]  # type: ignore[valid-type]
    else:
        kind = _bounded(kind, bounds)
    optional = type(None) in get_args(type_)
    return TypeAdapter(Union[kind, None] if optional else kind, config=ConfigDict(allow_inf_nan=False))  # noqa: UP007


def _bounded(type_: Any, bounds: tuple[tuple[str, float], ...]) -> Any:
    constraints: dict[str, Any] = dict(bounds)
    return Annotated[type_, Field(**constraints)] if constraints else type_


def _kind(type_: Any) -> Any:
    if get_origin(type_) not in (Union, types.UnionType):
        return type_
    rest = [member for member in get_args(type_) if member is not type(None)]
    assert len(rest) == 1, f"a setting has one type, or one type and None; got {type_}"
    return rest[0]


def _plain(value: Any) -> Any:
    """Convert NumPy scalars and arrays to Python values, paths and torch devices to text, sequences to tuples."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif type(value).__module__ == "torch" and type(value).__name__ == "device":  # torch is not imported here
        value = str(value)
    return tuple(_plain(element) for element in value) if isinstance(value, list | tuple) else value


def from_text(info: SettingInfo, value: Any) -> Any:
    """Parse a text as the setting's type; unparsable text is returned, and fails in the constructor."""
    is_tuple = get_origin(info.kind) is tuple
    if is_tuple and isinstance(value, list | tuple):  # YAML reads [1e-3, 2] as a text and a number
        text: Any = tuple(value)
        if not any(isinstance(part, str) for part in text):
            return value
    elif not isinstance(value, str):
        return value
    elif info.optional and value.strip() in _NONE_TEXTS:
        return None
    elif info.kind is str:
        return value
    elif is_tuple:
        parts = [part.strip() for part in value.strip().strip("()[]").split(",")]
        text = tuple(part for part in parts if part)
    else:
        text = value.strip()
    try:
        # without bounds or finiteness: the constructor then names the number, not the text
        return TypeAdapter(info.kind).validate_python(text)
    except ValidationError:
        return value


def show(value: Any) -> str:
    """Return a value as one short line."""
    return one_line(_short.repr(_plain(value)))


def one_line(text: str) -> str:
    """Return the text without line breaks and repeated blanks."""
    return " ".join(text.split())


__all__ = ["ConfigError", "SettingInfo", "checked", "from_text", "nearest", "one_line", "show", "unknown"]
