"""Task of an environment by its id."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.environments import TASKS
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.checks import check_task


def task_class(env_id: str) -> Callable[..., Task]:
    """Return the class of an environment's task.

    Raises:
        ConfigError: No such environment, or its task cannot be imported.
    """
    if env_id not in TASKS:
        raise ConfigError(unknown("environment", env_id, TASKS))
    entry: Any = TASKS[env_id]
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the task of {env_id} cannot be imported from {entry}: {error}") from error


def make_task(env_id: str, config: EnvironmentConfig, num_lifetimes: int, device: torch.device) -> Task:
    """Build the task of an environment.

    Args:
        env_id: Its id.
        config: Its settings.
        num_lifetimes: B.
        device: Of its tensors.

    Raises:
        ConfigError: There is none, or its network is invalid.
    """
    task = task_class(env_id)(config, num_lifetimes, device)
    check_task(task, config, env_id)
    return task
