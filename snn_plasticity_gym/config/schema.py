"""Frozen configuration classes: the one source of constructor arguments, command line flags and sweep keys.

A configuration is a class of typed settings, each with its default, its help and the range it may take:

    @config_class
    class Example:
        num_steps: int = setting(100, "Time steps an image is shown (T).", unit="steps", section="Simulation", ge=1)

The standard library makes the class, pydantic checks the values. A wrong value is a `ConfigError` of one line
that names every bad argument. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import json as json_module
import reprlib
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import dataclass_transform

ConfigType = TypeVar("ConfigType")

_BOUNDS = {"ge": "greater than or equal to", "gt": "greater than", "le": "less than or equal to", "lt": "less than"}
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


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    section: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] | None = None,
    json: bool = False,
) -> Any:
    """Declare one setting of a configuration class.

    Args:
        default: Value when none is given; it must itself be allowed.
        help: One sentence for the command line and the documentation.
        unit: Physical unit, e.g. "ms".
        section: Heading under which the command line shows it.
        ge: Smallest value. Bounds of a tuple hold for each of its elements.
        gt: The value must be greater than this.
        le: Largest value.
        lt: The value must be less than this.
        choices: Names a text setting may take.
        json: The text is a JSON object; a mapping is taken, too, and written as one.
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    bounds = tuple((key, bound) for key, bound in limits.items() if bound is not None)
    names = tuple(choices or ())
    info = {"help": help, "unit": unit, "section": section, "choices": names, "bounds": bounds, "json": json}
    return dataclasses.field(default=default, metadata=info)


# `setting` is no field specifier here: type checkers read only keyword defaults of those, and would call every field
# required. As a plain assigned value it is a default to them, which is what it is.
@dataclass_transform(frozen_default=True, kw_only_default=True)
def config_class(cls: type[ConfigType]) -> type[ConfigType]:
    """Make a class of settings a frozen dataclass that checks its arguments.

    Arguments are given by name. NumPy scalars become Python numbers, lists become tuples, an int is taken for a
    float; nothing else is converted, so that True is no number and "100" no integer (`build_configs` reads text).

    A subclass inherits settings. It may give one a new default, `num_steps: int = 16`, which keeps help and bounds.
    Conditions between settings stand in `def check(self) -> None`, which runs after all values were found good
    and raises ValueError; a subclass calls `super().check()`.
    """
    _inherit_settings(cls)
    made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    hints = get_type_hints(made)
    declared = []
    for field in dataclasses.fields(made):
        assert "help" in field.metadata, f"{cls.__name__}.{field.name}: declare it with setting(default, help)"
        info = SettingInfo(name=field.name, type=hints[field.name], default=field.default, **field.metadata)
        assert not info.choices or info.kind is str, f"{cls.__name__}.{field.name}: choices are for str settings"
        default, problem = checked(info, field.default)
        assert not problem, f"{cls.__name__}: the default of {problem}"
        declared.append(dataclasses.replace(info, default=default))
    made.__settings__ = tuple(declared)
    assign = made.__init__

    @functools.wraps(assign)
    def __init__(self: Any, **values: Any) -> None:
        clean, problems = _validate(made, values)
        if problems:
            raise ConfigError("; ".join(problems))
        assign(self, **clean)
        if hasattr(self, "check"):
            try:
                self.check()
            except ConfigError:
                raise
            except ValueError as error:
                raise ConfigError(_one_line(str(error))) from error

    made.__init__ = __init__
    return made


def setting_fields(config_type: type) -> list[SettingInfo]:
    """The settings of a configuration class in the order of their declaration, inherited ones first."""
    return list(config_type.__settings__)  # type: ignore[attr-defined]


def to_dict(config: Any) -> dict[str, Any]:
    """The settings and their values as plain Python types that YAML and JSON can hold (tuples become lists)."""
    values = {info.name: getattr(config, info.name) for info in setting_fields(type(config))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def build_configs(values: Mapping[str, Any], *config_types: type) -> tuple[Any, ...]:
    """Build one configuration per class from one flat mapping, e.g. of flags or of a YAML file.

    Unlike the constructors it reads text: "100", "1e-3", "False", "0.1,0.2", and "" or "None" where None is allowed
    (YAML, too, calls 1e-3 a string).

    Args:
        values: Values by name; a name that several classes have goes to each of them.
        config_types: Configuration classes.

    Raises:
        ConfigError: An unknown name, or values that are not allowed; one line for all classes together.
    """
    infos = {info.name: info for config_type in config_types for info in setting_fields(config_type)}
    problems = [unknown("argument", name, infos) for name in values if name not in infos]
    parsed = {name: _from_text(infos[name], value) for name, value in values.items() if name in infos}
    configs = []
    for config_type in config_types:
        own = [info.name for info in setting_fields(config_type)]
        try:
            configs.append(config_type(**{name: parsed[name] for name in own if name in parsed}))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(dict.fromkeys(problems)))
    return tuple(configs)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a flat YAML file of settings for `build_configs`; an empty file is an empty dict.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or is no mapping of names to values.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(_one_line(f"cannot read settings from {path}: {error}")) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ConfigError(f"{path} must hold lines of the form `name: value`")
    return values


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


def _inherit_settings(cls: type) -> None:
    """Give a field that only restates an inherited one, `name: int = 16`, the help and the bounds it had."""
    parents = {field.name: field for base in reversed(cls.__mro__[1:]) for field in _dataclass_fields(base)}
    annotated = inspect.get_annotations(cls)
    for name, parent in parents.items():
        if name not in cls.__dict__:
            continue
        assert name in annotated, f"{cls.__name__}.{name}: a new default needs its annotation, `{name}: type = value`"
        own = cls.__dict__[name]
        if not isinstance(own, dataclasses.Field):
            setattr(cls, name, dataclasses.field(default=own, metadata=parent.metadata))


def _dataclass_fields(base: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(base) if dataclasses.is_dataclass(base) else ()


def _validate(config_type: type, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """All settings with their checked values, and what is wrong with the given ones."""
    infos = setting_fields(config_type)
    names = [info.name for info in infos]
    problems = [unknown("argument", name, names) for name in values if name not in names]
    clean = {info.name: info.default for info in infos}
    for info in infos:
        if info.name in values:
            clean[info.name], problem = checked(info, values[info.name])
            if problem:
                problems.append(problem)
    return clean, problems


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
        return given, f"{info.name} must be one of {', '.join(info.choices)}, got {_show(given)}{hint}"
    return value, ""


def _json_text(name: str, given: Any) -> tuple[Any, str]:
    """The JSON object that a mapping or a text is, in one spelling, and what is wrong with it."""
    try:
        value = json_module.loads(given) if isinstance(given, str) else dict(given)
        if isinstance(value, dict):
            return json_module.dumps(value, sort_keys=True), ""
    except (TypeError, ValueError):
        pass
    return given, f'{name} must be a mapping or a JSON object as in {{"key": 1}}, got {_show(given)}'


def _describe(info: SettingInfo, given: Any, errors: ValidationError) -> str:
    error = errors.errors(include_url=False)[0]
    place = "".join(f"[{index}]" for index in error["loc"])
    if error["type"].startswith(("greater_than", "less_than")):
        allowed = info.range
    else:
        allowed = error["msg"].removeprefix("Input should be ")
        if error["type"] == "tuple_type":
            allowed = f"a list of {'integers' if get_args(info.kind)[0] is int else 'numbers'}"
        allowed += f", {info.range}" if info.range and not place else ""
    none = " or None" if info.optional else ""
    value = error["input"] if place else given
    return f"{info.name}{place} must be {allowed}{none}, got {_show(value)}"


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
    """NumPy scalars and arrays as Python values, sequences as tuples."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(_plain(element) for element in value) if isinstance(value, list | tuple) else value


def _from_text(info: SettingInfo, value: Any) -> Any:
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


def _show(value: Any) -> str:
    return _one_line(_short.repr(_plain(value)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


__all__ = [
    "ConfigError",
    "SettingInfo",
    "build_configs",
    "checked",
    "config_class",
    "nearest",
    "read_yaml",
    "setting",
    "setting_fields",
    "to_dict",
    "unknown",
]
