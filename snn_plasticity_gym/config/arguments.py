"""Validation of constructor arguments by the limits and messages of the corresponding settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, checked

LARGEST_SEED = 2**32 - 1  # accepted by NumPy's global generator


def check_arguments(config_type: type, arguments: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
    """Check arguments as the corresponding settings, each by itself and together.

    Args:
        config_type: Class of these settings; those that are not given have their defaults.
        arguments: Values by argument.
        names: Settings by argument, where their names differ.

    Raises:
        ConfigError: One line that names the wrong arguments.
    """
    names = names or {}
    try:
        config_type(**{names.get(name, name): value for name, value in arguments.items()})
    except ConfigError as error:
        message = str(error)
        for argument, name in names.items():
            message = re.sub(rf"\b{name}\b", argument, message)
        raise ConfigError(message) from None


def check_argument(
    name: str,
    value: Any,
    type_: Any,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    length: Sequence[int] = (),
) -> Any:
    """Return an argument that is no setting as a plain Python value.

    Args:
        name: Of the argument.
        value: As given.
        type_: As a setting would be annotated.
        ge: Smallest value; bounds hold for each element of a tuple.
        gt: The value must be greater than this.
        le: Largest value.
        length: Smallest and largest length of a tuple.

    Raises:
        ConfigError: In one line, as for settings.
    """
    limits = {"ge": ge, "gt": gt, "le": le}
    bounds = tuple((key, bound) for key, bound in limits.items() if bound is not None)
    plain, problem = checked(SettingInfo(name, type_, default=None, help="", bounds=bounds), value)
    if not problem and length and not length[0] <= len(plain) <= length[1]:
        number = f"{length[0]}" if length[0] == length[1] else f"{length[0]} to {length[1]}"
        problem = f"{name} must have {number} entries, got {len(plain)}"
    if problem:
        raise ConfigError(problem)
    return plain
