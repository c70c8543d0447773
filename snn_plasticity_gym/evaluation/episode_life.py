"""Record of one network of any task that learns by a rule, episode by episode.

Axes: I episodes, P reward events of the last one, W time steps recorded of it, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.evaluation.curves import test_times
from snn_plasticity_gym.evaluation.network_life import SNAPSHOTS, plastic_weights
from snn_plasticity_gym.evaluation.task_facts import learning_settings
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.scene import recent_spikes

Array = NDArray[np.float64]

MOST_STEPS = 30_000  # time steps of a lifetime, after which no further episode begins
PART = 4  # the first and the last quarter of a lifetime are compared


class EpisodeLife(NamedTuple):
    """A network's lifetime of learning by a rule."""

    ages: list[int]  # episodes done at each snapshot of the weights, the first before learning
    weights: list[dict[str, NDArray[np.float32]]]  # by plastic projection, (n_pre, n_post); NaN: no synapse
    returns: Array  # (I,)
    lengths: Array  # (I,) time steps
    terms: dict[str, Array]  # (I,) each, of the reward; NaN where there is no value
    rates: dict[str, Array]  # (I,) each, mean of a population's neurons, Hz
    raster: dict[str, NDArray[np.bool_]]  # (W, N) spikes of every population at the end of the last episode
    step_rewards: Array  # (P,) rewards of the last episode
    reward_steps: Array  # (P,) time step of each reward
    traces: dict[str, Array]  # (P, ...) each, the task's state at each reward; see `Task.trace`
    groups: dict[str, NDArray[np.int64]]  # of readout neurons; see `Task.answer_groups`
    answering: list[str]  # plastic projections onto them
    step_length: float  # ms

    @property
    def facts(self) -> dict[str, tuple[float, float]]:
        """Means over the episodes of the first and of the last part of the lifetime."""
        part = max(1, len(self.returns) // PART)
        curves = {"return of an episode": self.returns, "time steps of an episode": self.lengths}
        curves |= {name.replace("_", " "): values for name, values in self.terms.items()}
        curves |= {f"rate of {name} (Hz)": values for name, values in self.rates.items()}
        found = {}
        for name, values in curves.items():
            ends = [some[np.isfinite(some)] for some in (values[:part], values[-part:])]
            found[name] = tuple(float(some.mean()) if len(some) else float("nan") for some in ends)
        return found  # type: ignore[return-value]

    @property
    def wins(self) -> Array | None:
        """None: winner shares exist for images only."""
        return None


@torch.no_grad()
def record_episodes(
    rule: Rule,
    env_id: str,
    config: EnvironmentConfig,
    episodes: int,
    seed: int,
    weights: Mapping[str, Tensor] | None = None,
) -> EpisodeLife:
    """Train one network by a rule, and record it.

    It is not renewed, and stays plastic, whatever `lifetime_length` and `plastic_episodes` say. No episode begins after
    `MOST_STEPS` time steps.

    Args:
        rule: Plasticity rule.
        env_id: Any environment.
        config: Its settings.
        episodes: I, at least 1.
        seed: Of the network, its episodes and their spikes.
        weights: Initial weights, (n_pre, n_post) by projection; None: fresh ones.
    """
    settings = learning_settings(rule, config)
    engine = make_engine(env_id, type(config)(**settings), 1)
    task = engine.task
    engine.start_lifetimes([0], [seed])
    for name, own in (weights or {}).items():
        engine.network.weights_of(name)[0] = own
    times = test_times(episodes, SNAPSHOTS - 1)
    ages, snapshots = [0], [plastic_weights(engine)]
    results: list[EpisodeResult] = []
    traces: list[dict[str, NDArray[np.float64]]] = []
    lived = 0
    while len(results) < episodes and lived < MOST_STEPS:
        watched = len(results) + 1 == episodes or lived + engine.num_steps >= MOST_STEPS
        engine.begin([0])
        if watched or not engine.run_episode(rule):
            traces = _run_episode(engine, rule)
        steps = int(engine.steps[0])
        lived += steps
        results.append(engine.finish([0]))
        if len(results) in times:
            ages.append(len(results))
            snapshots.append(plastic_weights(engine))
    if ages[-1] != len(results):
        ages.append(len(results))
        snapshots.append(plastic_weights(engine))
    last = results[-1]
    sizes = {population.name: population.size for population in task.populations}
    life = EpisodeLife(
        ages=ages,
        weights=snapshots,
        returns=np.array([float(result.reward) for result in results]),
        lengths=np.array([float(result.length) for result in results]),
        terms={name: np.array([float(result.terms[name]) for result in results]) for name in last.terms},
        rates={
            name: np.array([_rate(result, name, size, config.dt) for result in results]) for name, size in sizes.items()
        },
        raster={name: _kept(engine, name, steps) for name in sizes},
        step_rewards=last.payments[0].double().cpu().numpy(),
        reward_steps=last.payment_steps.double().cpu().numpy(),
        traces={name: np.stack([trace[name] for trace in traces if name in trace]) for name in traces[-1]},
        groups={name: neurons.cpu().numpy() for name, neurons in task.answer_groups().items()},
        answering=[p.name for p in task.projections if p.target == task.readout and p.plasticity is not None],
        step_length=config.dt,
    )
    task.close()
    return life


def _run_episode(engine: Engine, rule: Rule) -> list[dict[str, NDArray[np.float64]]]:
    """Run an episode of an engine's one network; return the task's trace at each reward."""
    traces: list[dict[str, NDArray[np.float64]]] = []
    while not engine.ended[0]:
        events: SynapseEvents | None = engine.advance()
        while events is not None:
            engine.write(events, rule(events))
            events = engine.after(events)
        if engine.settle() is not None:
            trace = engine.task.trace(0)
            traces.append({name: value.double().cpu().numpy() for name, value in trace.items()})
    return traces


def _kept(engine: Engine, population: str, steps: int) -> NDArray[np.bool_]:
    """Return the recorded spikes of the first lifetime in the last `steps` time steps, (T, N)."""
    raster = recent_spikes(engine.recorder.record, population, 0, steps)
    return raster.spikes[: raster.steps]


def _rate(result: EpisodeResult, population: str, size: int, dt: float) -> float:
    """Return the mean rate of a population's neurons in an episode, Hz."""
    return float(result.spikes[population]) / size / (float(result.length) * dt / 1000.0)
