"""From an environment's id to its engine."""

from __future__ import annotations

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.tasks.registry import make_task
from snn_plasticity_gym.utils.device import torch_device


def make_engine(env_id: str, config: EnvironmentConfig, num_lifetimes: int, render_mode: str | None = None) -> Engine:
    """Build the task of an environment and the engine that runs it.

    Args:
        env_id: Its id.
        config: Its settings.
        num_lifetimes: B.
        render_mode: Of the environment; a world is drawn only where it is asked for.

    Raises:
        ConfigError: There is no such environment, or its network cannot be.
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    task = make_task(env_id, config, num_lifetimes, device)
    task.render_mode = render_mode
    return Engine(task, config, num_lifetimes, device)
