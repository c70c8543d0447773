"""Registered environments: the settings and the task of each id.

Settings are arguments of `gymnasium.make`, flags of trainers and keys of sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.control_worlds import (
    AcrobotConfig,
    CartPoleConfig,
    CueAssociationConfig,
    HalfCheetahConfig,
    InvertedPendulumConfig,
    LunarLanderConfig,
    MountainCarConfig,
    PendulumConfig,
)
from snn_plasticity_gym.config.feedforward import FeedforwardConfig, GradConfig, SemiConfig
from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.config.unsupervised import Unsup1Config, Unsup2Config, UnsupervisedConfig

__all__ = [
    "ENVIRONMENTS",
    "TASKS",
    "AcrobotConfig",
    "CartPoleConfig",
    "ControlConfig",
    "CueAssociationConfig",
    "EnvironmentConfig",
    "FeedforwardConfig",
    "GradConfig",
    "HalfCheetahConfig",
    "ImageConfig",
    "InvertedPendulumConfig",
    "LunarLanderConfig",
    "MountainCarConfig",
    "PendulumConfig",
    "SemiConfig",
    "Unsup1Config",
    "Unsup2Config",
    "UnsupervisedConfig",
    "add_environment",
    "environment_config",
]

ENVIRONMENTS: dict[str, type[EnvironmentConfig]] = {}
"""Settings of each registered environment, by id."""

TASKS: dict[str, str | Callable[..., Any]] = {}
"""Its task: a class derived from `tasks.base.Task`, or "module:class" to be imported when it is needed."""


def add_environment(env_id: str, task: str | Callable[..., Any], config: type[EnvironmentConfig]) -> None:
    """Register the task and the settings of an environment id.

    Raises:
        ConfigError: The id is taken by another task, the task is neither callable nor "module:class", or the settings
            are no configuration class derived from `EnvironmentConfig`.
    """
    if env_id in TASKS and (TASKS[env_id], ENVIRONMENTS[env_id]) != (task, config):
        raise ConfigError(f"there is an environment {env_id!r} already; choose another id")
    if not (callable(task) or (isinstance(task, str) and task.count(":") == 1)):
        raise ConfigError(f"the task of {env_id} must be a class derived from Task, or 'module:class', got {task!r}")
    if not (isinstance(config, type) and issubclass(config, EnvironmentConfig)):
        raise ConfigError(
            f"the config of {env_id} must be a @config_class derived from EnvironmentConfig, got {config!r}"
        )
    ENVIRONMENTS[env_id], TASKS[env_id] = config, task


def environment_config(env_id: str, **settings: Any) -> EnvironmentConfig:
    """Return the configuration of an environment.

    Raises:
        ConfigError: No such environment, or a setting is unknown, out of range or contradicts another.
    """
    if env_id not in ENVIRONMENTS:
        raise ConfigError(unknown("environment", env_id, ENVIRONMENTS))
    return ENVIRONMENTS[env_id](**settings)


for _env_id, _task, _config in (
    ("SNNPlastic-Unsup1-v0", "unsupervised:UnsupervisedTask", Unsup1Config),
    ("SNNPlastic-Unsup2-v0", "unsupervised:UnsupervisedTask", Unsup2Config),
    ("SNNPlastic-Grad-v0", "gradient:GradientTask", GradConfig),
    ("SNNPlastic-Semi-v0", "classification:ClassificationTask", SemiConfig),
    ("SNNPlastic-Control-v0", "control:ControlTask", ControlConfig),
    ("SNNPlastic-CartPole-v0", "control:ControlTask", CartPoleConfig),
    ("SNNPlastic-MountainCar-v0", "control:ControlTask", MountainCarConfig),
    ("SNNPlastic-Pendulum-v0", "control:ControlTask", PendulumConfig),
    ("SNNPlastic-Acrobot-v0", "control:ControlTask", AcrobotConfig),
    ("SNNPlastic-InvertedPendulum-v0", "control:ControlTask", InvertedPendulumConfig),
    ("SNNPlastic-HalfCheetah-v0", "control:ControlTask", HalfCheetahConfig),
    ("SNNPlastic-LunarLander-v0", "control:ControlTask", LunarLanderConfig),
    ("SNNPlastic-CueAssociation-v0", "control:ControlTask", CueAssociationConfig),
):
    add_environment(_env_id, f"snn_plasticity_gym.tasks.{_task}", _config)
