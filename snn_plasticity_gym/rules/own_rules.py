"""Users' rules by location: `module:name`, or `file.py:name`, as in "mine.py:hebb".

A function is the rule itself: it is called with events (see `Rule`). A class is instantiated first; parameters may
follow the name, as in "mine.py:Hebb:rate=0.1", if it is a `@config_class`. Its parameters dt, scale and seed default
to those of the environment.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from snn_plasticity_gym.config.plugins import file_of
from snn_plasticity_gym.config.schema import ConfigError, build_configs, setting_fields, unknown
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import RULES, read_parameters

WRITTEN = "a rule of your own is written module:name or file.py:name"
NO_RULES = ("distilled",)  # other prefixes before a colon


def is_own_rule(text: str) -> bool:
    """Whether a text has the form of a user's rule, and is no registered one and no file."""
    place, colon, name = text.partition(":")
    if not colon or place in (*RULES, *NO_RULES) or Path(text).exists():
        return False
    return name.partition(":")[0].isidentifier()


def own_rule(text: str, **environment: Any) -> Rule:
    """Return the rule at the location in a text.

    Args:
        text: E.g. "mine.py:hebb", or "mine.py:Hebb:rate=0.1".
        environment: Parameters that follow from the environment (dt, scale, seed); ignored by a class without such
            a parameter, overridden by the text.

    Raises:
        ConfigError: Module, file or name is missing, cannot be imported, or is no rule; a parameter is not allowed.
    """
    place, name, *assignments = text.split(":")
    module = _file(place) if place.endswith(".py") else _module(place)
    if not hasattr(module, name):
        public = [own for own in vars(module) if not own.startswith("_")]
        raise ConfigError(f"rule {text}: {unknown('name', name, public)} in {place}")
    rule = getattr(module, name)
    given = read_parameters(text, assignments)
    if inspect.isclass(rule):
        rule = _made(rule, text, given, environment)
    elif given:
        raise ConfigError(f"rule {text}: only a class takes parameters, {name} is a {type(rule).__name__}")
    if not callable(rule):
        raise ConfigError(f"rule {text}: {name} must be called with events, got a {type(rule).__name__}")
    return rule


def _made(kind: type[Any], text: str, given: dict[str, str], environment: dict[str, Any]) -> Any:
    """Instantiate a rule class."""
    try:
        if hasattr(kind, "__settings__"):
            names = {info.name for info in setting_fields(kind)}
            defaults = {key: value for key, value in environment.items() if key in names}
            return build_configs(defaults | given, kind)[0]
        if given:
            raise ConfigError(f"a class takes parameters if it is a @config_class, {kind.__name__} is none")
        names = set(inspect.signature(kind).parameters)
        return kind(**{key: value for key, value in environment.items() if key in names})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"rule {text}: {' '.join(str(error).split())}") from error


def _module(name: str) -> ModuleType:
    """Import a module by its dotted name, also found in the working directory."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {name!r}; {WRITTEN}, got {name}:...") from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _file(name: str) -> ModuleType:
    """Import a file as the module of its name, once."""
    path = Path(name).expanduser().resolve()
    loaded = sys.modules.get(path.stem)
    if loaded is not None and file_of(loaded) == path:
        return loaded
    if not path.is_file():
        raise ConfigError(f"there is no file {name}; {WRITTEN}")
    other = loaded or (importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None)
    if other is not None and file_of(other) != path:
        raise ConfigError(f"the file {name} would hide the module {path.stem}; give it another name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that its classes can be pickled and unpickled
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        raise _broken(name, error) from error
    return module


def _broken(name: str, error: Exception) -> ConfigError:
    return ConfigError(f"{name} cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}")
