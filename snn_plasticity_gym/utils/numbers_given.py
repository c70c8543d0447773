"""Validation of users' numbers for encoders and decoders; errors are one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_plasticity_gym.config.schema import ConfigError


def numbers(name: str, given: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Return finite numbers as an array of one axis.

    Args:
        name: Of the argument, for the message.
        given: A number, or several.
        shape: (D,) to which a single number is repeated; None: the given number of entries.

    Raises:
        ConfigError: They are no finite numbers, or have another shape.
    """
    try:
        array = np.atleast_1d(np.asarray(given, dtype=np.float64))
        array = array if shape is None else np.broadcast_to(array, shape).copy()
    except (TypeError, ValueError) as error:
        many = "" if shape is None else f"one, or {shape[0]}: one for each observation, "
        raise ConfigError(f"{name} must be numbers, {many}got {given!r}") from error
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ConfigError(f"{name} must be finite numbers, one for each observation, got {given!r}")
    return array


def number(name: str, given: float, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number.

    Raises:
        ConfigError: It is none, or is not in [least, most].
    """
    if isinstance(given, bool) or not isinstance(given, int | float | np.number) or not math.isfinite(given):
        raise ConfigError(f"{name} must be a finite number, got {given!r}")
    if not least <= given <= most:
        allowed = f"at least {least:g}" if most == math.inf else f"in [{least:g}, {most:g}]"
        raise ConfigError(f"{name} must be {allowed}, got {given!r}")
    return float(given)


def whole(name: str, given: Any, least: int) -> int:
    """Return a whole number.

    Raises:
        ConfigError: It is none, or is less than `least`.
    """
    if not is_whole(given) or given < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {given!r}")
    return int(given)


def is_whole(given: Any) -> bool:
    """Whether a value is an integer of Python or NumPy; booleans are not."""
    return isinstance(given, int | np.integer) and not isinstance(given, bool)
