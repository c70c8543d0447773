"""One setting: what is known about it, which values it takes, and how a text is read as one of them.

The values are checked by pydantic; what is wrong with one is said in one line. This module imports no torch.
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
_NONE_TEXTS = ("", "None", "none", "null")  # how a shell, a W&B sweep and YAML write "nothing"

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class ConfigError(ValueError):
    """One line: what was given, what is allowed, how to mend it."""


@dataclasses.dataclass(frozen=True)
class SettingInfo:
    """What is known about one setting; flags, sweeps and tables in the documentation are written from this."""

    name: str
    type: Any  # as annotated, e.g. int, float | None, tuple[float, ...]
    default: Any
    help: str
    unit: str = ""
    section: str = ""
    choices: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()  # e.g. (("ge", 1), ("lt", 10)); of a tuple, they hold for each element
    json: bool = False  # a text that holds a JSON object; a mapping is written as one
    was: tuple[str, ...] = ()  # earlier names
    basic: bool = False  # whether `--help` shows it
    path: bool = False  # whether a leading ~ is the user's home

    @property
    def optional(self) -> bool:
        """Whether None is a value of this setting."""
        return type(None) in get_args(self.type)

    @property
    def kind(self) -> Any:
        """The type without None, e.g. float for `float | None`."""
        return _kind(self.type)

    @property
    def range(self) -> str:
        """The bounds in words, e.g. "greater than 0 and less than or equal to 1"; empty without bounds."""
        return " and ".join(f"{_BOUNDS[key]} {bound}" for key, bound in self.bounds)

    @property
    def described(self) -> str:
        """Its help, default and limits, as the command line and docstrings show them."""
        parts = self.default if isinstance(self.default, tuple) else (self.default,)
        default = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
        unit = f" {self.unit}" if self.unit and self.default is not None else ""
        facts = [f"default: {default or repr('')}{unit}"]
        if self.choices:
            facts.append(f"one of: {', '.join(self.choices)}")
        facts += [f"{_SIGNS[key]} {bound}" for key, bound in self.bounds]
        return f"{self.help} ({'; '.join(facts)})"


def nearest(name: object, names: Iterable[str]) -> str | None:
    """The name that was probably meant, or None; upper and lower case do not count."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """Message for a name that does not exist: the nearest one, or all of them where nothing is near."""
    names = list(names)
    near = nearest(name, names)
    remedy = f"did you mean {near!r}?" if near else f"valid names: {', '.join(names) or 'none'}"
    return f"unknown {what} {_short.repr(name)}; {remedy}"


def checked(info: SettingInfo, given: Any) -> tuple[Any, str]:
    """The value in its plain Python type, and what is wrong with it (empty if nothing is)."""
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
    """The JSON object that a mapping or a text is, in one spelling, and what is wrong with it."""
    try:
        value = json.loads(given) if isinstance(given, str) else dict(given)
        if isinstance(value, dict):
            return json.dumps(value, sort_keys=True), ""
    except (TypeError, ValueError):
        pass
    return given, f'{name} must be a mapping or a JSON object as in {{"key": 1}}, got {show(given)}'


def _expanded(value: Any) -> Any:
    """A path, or each of several, with the user's home in place of ~; a home that is not known leaves it."""
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
    """Pydantic's validator for a type whose numbers (a tuple's elements) keep within the bounds."""
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
    """NumPy scalars and arrays as Python values, paths and torch devices as texts, sequences as tuples."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif type(value).__module__ == "torch" and type(value).__name__ == "device":  # torch is not imported here
        value = str(value)
    return tuple(_plain(element) for element in value) if isinstance(value, list | tuple) else value


def from_text(info: SettingInfo, value: Any) -> Any:
    """Read a text as the setting's type; what cannot be read stays text, for the constructor to complain about."""
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
    """A value in one short line."""
    return one_line(_short.repr(_plain(value)))


def one_line(text: str) -> str:
    """The text without line breaks and repeated blanks."""
    return " ".join(text.split())


__all__ = ["ConfigError", "SettingInfo", "checked", "from_text", "nearest", "one_line", "show", "unknown"]
