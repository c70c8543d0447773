"""Properties of a task that evaluations and reports need before networks are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.rules.base import Rule, modulation_of
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.registry import make_task, task_class
from snn_plasticity_gym.utils.device import torch_device


@contextmanager
def temporary_task(env_id: str, config: EnvironmentConfig) -> Iterator[Task]:
    """Build the task of an environment for one lifetime, and close it at the end.

    Raises:
        ConfigError: There is no such environment, or its network cannot be built.
        FileNotFoundError: Its data set is not found.
    """
    task = make_task(env_id, config, 1, torch_device(config.device))
    try:
        yield task
    finally:
        task.close()


def judge_of(env_id: str, config: EnvironmentConfig) -> str:
    """Return how rules are evaluated in an environment; its task is built only if its class does not say.

    Raises:
        ConfigError: As `temporary_task`.
    """
    kind = task_class(env_id)
    if isinstance(kind, type) and issubclass(kind, Task):
        return kind.judge_by
    with temporary_task(env_id, config) as task:
        return task.judge_by


def learning_settings(rule: Rule, config: EnvironmentConfig) -> dict[str, Any]:
    """Return the settings for learning by a rule under evaluation: `config.learning`, and its modulation."""
    return to_dict(config) | config.learning() | {"modulation": modulation_of(rule) or config.modulation}


def learning_rate(task: Task) -> float:
    """Return the weight change of delta_d = 1, which hand-written rules need.

    Where projections differ, that of the first one whose weights can change.

    Raises:
        ConfigError: No weight can change.
    """
    rates = {p.name: p.plasticity.scale for p in task.projections if p.plasticity is not None}
    rate = next((rate for rate in rates.values() if rate), None)
    if rate is None:
        raise ConfigError(
            f"no rule can change a weight: the learning rates of {', '.join(rates) or 'all synapses'} are 0; raise them"
        )
    return rate
