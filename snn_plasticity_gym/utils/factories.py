"""Registries of factories by name, open to third parties; errors are one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, unknown

Factory = Callable[..., Any]
Table = MutableMapping[str, Factory]
NOTHING: Mapping[str, Any] = MappingProxyType({})


def register(table: Table, kind: str, name: str, factory: Factory) -> None:
    """Register a factory in a table.

    Args:
        table: Factories by name.
        kind: Kind of their products, for messages, e.g. "encoder".
        name: Name of the new factory.
        factory: A function or class; its keyword-only parameters are the users' settings.

    Raises:
        ConfigError: The name is no text or is taken, or the factory cannot be called.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{kind}: the name must be a text, got {name!r}")
    if not callable(factory):
        raise ConfigError(f"{kind} {name!r} must be a function or a class, got {type(factory).__name__}")
    if table.get(name, factory) is not factory:
        raise ConfigError(f"{kind} {name!r} exists already; choose another name")
    table[name] = factory


def settings_of(table: Table, kind: str, name: str, environment: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of a factory's settings, without arguments passed to every factory.

    Args:
        table: Factories by name.
        kind: Kind of their products, for messages.
        name: Name of the factory.
        environment: Names of arguments set by the environment, which are no settings.

    Raises:
        ConfigError: The table has no such name.
    """
    return tuple(key for key in _settings(_find(table, kind, name)) if key not in environment)


def build(
    table: Table, kind: str, name: str, *given: Any, environment: Mapping[str, Any] = NOTHING, **settings: Any
) -> Any:
    """Call a factory.

    Args:
        table: Factories by name.
        kind: Kind of their products, for messages.
        name: Name of the factory.
        given: Positional arguments of every factory of the table.
        environment: Keyword arguments set by the environment; ignored by a factory without such a parameter.
        settings: Users' keyword arguments.

    Raises:
        ConfigError: There is no such name, it has no such setting, or lacks one; or the factory raises a ValueError.
    """
    factory = _find(table, kind, name)
    parameters = _settings(factory)
    own_parameters = {key: p for key, p in parameters.items() if key not in environment}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    for setting in settings:
        if setting in environment or (setting not in own_parameters and not takes_all):
            raise ConfigError(f"{kind} {name}: {unknown('setting', setting, own_parameters)}")
    missing = [key for key, p in own_parameters.items() if p.default is p.empty and key not in settings]
    if missing:
        raise ConfigError(f"{kind} {name} needs {', '.join(missing)}; its settings are {', '.join(own_parameters)}")
    try:
        follows = {key: value for key, value in environment.items() if key in parameters}
        return factory(*given, **follows, **settings)
    except ValueError as error:
        raise ConfigError(f"{kind} {name}: {' '.join(str(error).split())}") from error


def check_product(product: Any, kind: str, name: str, methods: tuple[str, ...]) -> None:
    """Check that a factory's product has a `size`, the number of its neurons, and all `methods`.

    Raises:
        ConfigError: It does not.
    """
    size = getattr(product, "size", None)
    if not isinstance(size, int) or size < 1:
        raise ConfigError(f"{kind} {name}: its `size` must be a positive number of neurons, got {size!r}")
    for method in methods:
        if not callable(getattr(product, method, None)):
            raise ConfigError(f"{kind} {name}: {type(product).__name__} has no method `{method}`")


def _find(table: Table, kind: str, name: str) -> Factory:
    if name not in table:
        raise ConfigError(unknown(kind, name, table))
    return table[name]


def _settings(factory: Factory) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(factory).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
