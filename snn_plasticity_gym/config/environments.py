"""Registered environments and their settings: arguments of `gymnasium.make`, flags of trainers, keys of sweeps."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.feedforward import FeedforwardConfig, GradConfig, SemiConfig
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.config.unsupervised import Unsup1Config, Unsup2Config, UnsupervisedConfig

__all__ = [
    "ENVIRONMENTS",
    "EnvironmentConfig",
    "FeedforwardConfig",
    "GradConfig",
    "SemiConfig",
    "Unsup1Config",
    "Unsup2Config",
    "UnsupervisedConfig",
    "environment_config",
]

ENVIRONMENTS: dict[str, type[EnvironmentConfig]] = {
    "SNNPlastic-Unsup1-v0": Unsup1Config,
    "SNNPlastic-Unsup2-v0": Unsup2Config,
    "SNNPlastic-Grad-v0": GradConfig,
    "SNNPlastic-Semi-v0": SemiConfig,
}
"""Registered environments and their settings."""


def environment_config(env_id: str, **settings: Any) -> EnvironmentConfig:
    """Return the configuration of an environment.

    Raises:
        ConfigError: No such environment, or a setting is unknown, out of range or contradicts another.
    """
    if env_id not in ENVIRONMENTS:
        raise ConfigError(unknown("environment", env_id, ENVIRONMENTS))
    return ENVIRONMENTS[env_id](**settings)
