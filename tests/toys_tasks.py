"""A task as a third party writes it: no images, no world, a network and a reward of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import gymnasium
import torch
from torch import Tensor

from snn_plasticity_gym import (
    ENVIRONMENTS,
    EnvironmentConfig,
    LIFParams,
    NetworkActivity,
    Outcome,
    Plasticity,
    Population,
    Projection,
    Seed,
    StepInput,
    Task,
    config_class,
    register_task,
    setting,
)
from snn_plasticity_gym.config.environments import TASKS

QUOTA = "toys/Quota-v0"


@config_class
class QuotaConfig(EnvironmentConfig):
    """An output that shall fire as often as it was told to."""

    history_length: int = 6
    quota: int = setting(4, "Output spikes of an episode that are best.", ge=0)
    eta: float = setting(0.2, "Learning rate.", ge=0)
    length: int = setting(12, "Time steps of an episode.", ge=1)


class QuotaTask(Task):
    """Reward -|spikes - quota| at the end of an episode of random input spikes; terms: spikes, and whether enough."""

    source = "random spikes"
    groups = ("quota",)
    readout = "out"

    def __init__(self, config: QuotaConfig, num_lifetimes: int, device: torch.device) -> None:
        self.config = config
        self.num_steps = self.record_steps = self.window = config.length
        lif = LIFParams(tau_mem=10.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=10.0, refractory=0.0)
        self.populations = [Population("in", 5), Population("out", 3, lif)]
        plastic = Plasticity(group=0, scale=config.eta, w_min=0.0, w_max=2.0)
        self.projections = [Projection("in_to_out", "in", "out", initial=(0.0, 0.2), plasticity=plastic)]
        self._fired = torch.zeros(num_lifetimes, device=device)
        self._spikes = torch.zeros(num_lifetimes, config.length, 5, dtype=torch.bool, device=device)

    def reset(self, rows: Tensor, seeds: Sequence[Seed]) -> None:
        self._fired[rows] = 0
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._spikes[row] = torch.from_numpy(seed.episode_rng().random((self.config.length, 5)) < 0.3)

    def input(self, rows: Tensor, step: int | Tensor) -> StepInput:
        return StepInput({"in": self._spikes[rows, step]})

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        self._fired[rows] += activity.spikes["out"].sum(dim=1)

    def outcome(self, rows: Tensor, step: int | Tensor) -> Outcome | None:
        over = torch.as_tensor(step == self.config.length - 1).expand(len(rows))
        if not over.any():
            return None
        rows = rows[over]
        fired = self._fired[rows]
        ended = torch.ones(len(rows), dtype=torch.bool)
        enough = torch.where(fired >= self.config.quota, 1.0, torch.nan)  # has a value in some episodes only
        terms = {"fired": fired.clone(), "enough": enough}
        return Outcome(rows, -(fired - self.config.quota).abs(), ended, ~ended, terms)


@contextlib.contextmanager
def registered(
    env_id: str = QUOTA, task: type[Task] = QuotaTask, config: type[EnvironmentConfig] = QuotaConfig
) -> Iterator[str]:
    """Make a task known for a while: tests that go through all environments are about those of the package."""
    register_task(env_id, task, config)
    try:
        yield env_id
    finally:
        del ENVIRONMENTS[env_id], TASKS[env_id], gymnasium.registry[env_id]
