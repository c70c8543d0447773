"""From an environment's id to its engine, and the arguments of `reset`."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS, environment_config
from snn_plasticity_gym.config.schema import ConfigError, setting_fields, unknown
from snn_plasticity_gym.config.values import one_line
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.tasks.registry import make_task
from snn_plasticity_gym.utils.device import torch_device


class UnexpectedKeywordError(ConfigError, TypeError):
    """A constructor has no such argument: a `TypeError`, as of Python itself, that names the valid ones in one line.

    TorchRL, among others, tries arguments and checks for "unexpected keyword argument" in a `TypeError`.
    """


def read_config(env_id: str, settings: Mapping[str, Any]) -> EnvironmentConfig:
    """Return the configuration for the keyword arguments of an environment's constructor.

    Raises:
        UnexpectedKeywordError: There is no such argument; other errors are named, too.
        ConfigError: No such environment, or a setting is out of range or contradicts another.
    """
    infos = setting_fields(ENVIRONMENTS[env_id]) if env_id in ENVIRONMENTS else []
    known = [info.name for info in infos]
    taken = {*known, *(old for info in infos for old in info.was)}
    problems = [f"unexpected keyword {unknown('argument', name, known)[8:]}" for name in settings if name not in taken]
    if not infos or not problems:
        return environment_config(env_id, **settings)
    try:
        environment_config(env_id, **{name: value for name, value in settings.items() if name in taken})
    except ConfigError as error:
        problems.append(str(error))
    raise UnexpectedKeywordError("; ".join(problems))


def make_engine(env_id: str, config: EnvironmentConfig, num_lifetimes: int, render_mode: str | None = None) -> Engine:
    """Build the task of an environment and the engine that runs it.

    Args:
        env_id: Its id.
        config: Its settings.
        num_lifetimes: B.
        render_mode: Of the environment; a world is rendered only if requested.

    Raises:
        ConfigError: There is no such environment, or its network is invalid or does not fit into memory.
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    try:
        task = make_task(env_id, config, num_lifetimes, device)
        task.render_mode = render_mode
        return Engine(task, config, num_lifetimes, device)
    except (MemoryError, RuntimeError, TypeError, OverflowError) as error:
        if not isinstance(error, MemoryError) and not re.search("allocate|overflow", str(error), re.IGNORECASE):
            raise
        reason = one_line((str(error).splitlines() or ["no memory"])[0])
        raise ConfigError(
            f"{num_lifetimes} such networks do not fit into the memory of {config.device}: make num_envs, the number "
            f"of neurons or the images smaller ({reason})"
        ) from error


def read_seed(seed: Any) -> int:
    """Return a seed as a Python integer, as required by Gymnasium.

    Raises:
        ConfigError: It is not a seed.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ConfigError(f"seed must be a whole number of at least 0, or None, got {seed!r}")
    return number


def read_options(options: Mapping[str, Any] | None, known: Sequence[str]) -> Mapping[str, Any]:
    """Return the options of `reset`; None means not given.

    Raises:
        ConfigError: There is no such option, or its value is invalid.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"options must be a dict with {', '.join(known)}, got {options!r}")
    for name in options:
        if name not in known:
            raise ConfigError(unknown("option of reset", name, known))
    new = options.get("new_lifetime")
    if new is not None and not isinstance(new, bool | np.bool_):
        raise ConfigError(f"new_lifetime must be True or False, got {new!r}")
    return options
