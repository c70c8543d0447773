"""Frozen configuration classes: the one source of constructor arguments, command line flags and sweep keys.

A configuration is a class of typed settings, each with its default, its help and the range it may take:

    @config_class
    class Example:
        num_steps: int = setting(100, "Time steps an image is shown (T).", unit="steps", section="Simulation", ge=1)

The classes are standard dataclasses; `values` validates arguments. A wrong value is a `ConfigError` of one line
that names every bad argument. A setting may have earlier names (`was`): these are accepted with a
warning that names the new one. This module imports no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from typing_extensions import dataclass_transform

from snn_plasticity_gym.config.values import ConfigError, SettingInfo, checked, from_text, nearest, one_line, unknown

ConfigType = TypeVar("ConfigType")

_logger = logging.getLogger("snn_plasticity_gym")


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
    was: Sequence[str] = (),
    basic: bool = False,
    path: bool = False,
) -> Any:
    """Declare one setting of a configuration class.

    Args:
        default: Value when none is given; it must itself be allowed.
        help: One sentence for the command line and the documentation.
        unit: Physical unit, e.g. "ms".
        section: Heading in the command line's help.
        ge: Smallest value. Bounds of a tuple hold for each of its elements.
        gt: The value must be greater than this.
        le: Largest value.
        lt: The value must be less than this.
        choices: Names a text setting may take.
        json: The text is a JSON object; a mapping is taken, too, and written as one.
        was: Earlier names, still accepted in files, flags and calls.
        basic: Whether `--help` shows it; `--help all` shows every setting.
        path: Whether it is a path, in which a leading ~ is expanded.
    """
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    bounds = tuple((key, bound) for key, bound in limits.items() if bound is not None)
    info = {"help": help, "unit": unit, "section": section, "choices": tuple(choices or ()), "bounds": bounds}
    marks = {"json": json, "was": tuple(was), "basic": basic, "path": path}
    return dataclasses.field(default=default, metadata=info | marks)


# `setting` is no field specifier here: type checkers read only keyword defaults of those, and would call every field
# required. As a plain assigned value it is a default to them.
@dataclass_transform(frozen_default=True, kw_only_default=True)
def config_class(cls: type[ConfigType]) -> type[ConfigType]:
    """Make a class of settings a frozen dataclass that checks its arguments.

    Arguments are given by name. NumPy scalars become Python numbers, lists become tuples, an int is taken for a
    float; nothing else is converted, so that True is no number and "100" no integer (`build_configs` reads text).

    A subclass inherits settings. It may give one a new default, `num_steps: int = 16`, which keeps help and bounds.
    Conditions between settings are in `def check(self) -> None`, which runs after all values are validated
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
        assert not info.path or info.kind in (str, tuple[str, ...]), f"{cls.__name__}.{field.name}: a path is a text"
        default, problem = checked(info, field.default)
        assert not problem, f"{cls.__name__}: the default of {problem}"
        declared.append(dataclasses.replace(info, default=default))
    inherited = [info.name for base in cls.__bases__ for info in getattr(base, "__settings__", ())]
    order = list(dict.fromkeys([*inherited, *(info.name for info in declared)]))
    made.__settings__ = tuple(sorted(declared, key=lambda info: order.index(info.name)))
    assign = made.__init__

    @functools.wraps(assign)
    def __init__(self: Any, **values: Any) -> None:
        clean, problems = _validate(made, current_names(values, setting_fields(made)))
        if problems:
            raise ConfigError("; ".join(problems))
        assign(self, **clean)
        if hasattr(self, "check"):
            try:
                self.check()
            except ConfigError:
                raise
            except ValueError as error:
                raise ConfigError(one_line(str(error))) from error

    made.__init__ = __init__
    return made


def setting_fields(config_type: type) -> list[SettingInfo]:
    """Return the settings of a configuration class in the order of their declaration, inherited ones first."""
    return list(config_type.__settings__)  # type: ignore[attr-defined]


def to_dict(config: Any) -> dict[str, Any]:
    """Return settings and values as plain Python types for YAML and JSON (tuples become lists)."""
    values = {info.name: getattr(config, info.name) for info in setting_fields(type(config))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def only_with(config: Any, key: str, choices: Sequence[str], names: Iterable[str]) -> None:
    """Check that settings that apply only with certain values of another one are otherwise at their defaults.

    Args:
        config: A configuration, with its settings assigned.
        key: The other setting.
        choices: Values of `key` with which they apply.
        names: The settings.

    Raises:
        ConfigError: One of them differs from its default.
    """
    chosen = getattr(config, key)
    if chosen in choices:
        return
    defaults = {info.name: info.default for info in setting_fields(type(config))}
    for name in names:
        value, default = getattr(config, name), defaults[name]
        if value != default:
            given = ",".join(map(str, value)) if isinstance(value, tuple) else value
            mend = f"{name} to {default}" if default else f"leave {name} out"
            raise ConfigError(
                f"{name} is for {key} {' or '.join(choices)}, got {given} with {key} {chosen}; set {key} to "
                f"{choices[0]}, or {mend}"
            )


def own_values(config_type: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the subset of values that are settings of a configuration class, e.g. of all settings of a run."""
    names = {info.name for info in setting_fields(config_type)}
    return {name: value for name, value in values.items() if name in names}


def current_names(values: Mapping[str, Any], infos: Iterable[SettingInfo], where: str = "") -> dict[str, Any]:
    """Return values by the present names of their settings; warn of old names in one line.

    Args:
        values: Values by name; names that no setting has stay.
        infos: The settings.
        where: Prefix of the warning and the error, e.g. the name of a file.

    Raises:
        ConfigError: A setting is given twice, under different names.
    """
    infos = list(infos)
    names = {info.name for info in infos}
    new_names = {old: info.name for info in infos for old in info.was if old not in names}
    old_names = [name for name in values if name in new_names]
    counts = Counter(new_names.get(name, name) for name in values)
    for old in old_names:
        new = new_names[old]
        if counts[new] > 1:
            both = " and ".join(name for name in values if new_names.get(name, name) == new)
            raise ConfigError(f"{where}{old} is an old name of {new}; give {new} alone, got {both}")
    if old_names:
        renamed = ", ".join(f"{old} is now called {new_names[old]}" for old in old_names)
        _logger.warning("%s%s; the old name%s still taken", where, renamed, " is" if len(old_names) == 1 else "s are")
    return {new_names.get(name, name): value for name, value in values.items()}


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
    values = current_names(values, infos.values())
    problems = [unknown("argument", name, infos) for name in values if name not in infos]
    parsed = {name: from_text(infos[name], value) for name, value in values.items() if name in infos}
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
        raise ConfigError(one_line(f"cannot read settings from {path}: {error}")) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ConfigError(f"{path} must hold lines of the form `name: value`")
    return values


def _inherit_settings(cls: type) -> None:
    """Give a field that only restates an inherited one, `name: int = 16`, the inherited help and bounds."""
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
    """Return all settings with their validated values, and error messages for the given ones."""
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


__all__ = [
    "ConfigError",
    "SettingInfo",
    "build_configs",
    "checked",
    "config_class",
    "current_names",
    "nearest",
    "only_with",
    "read_yaml",
    "setting",
    "setting_fields",
    "to_dict",
    "unknown",
]
