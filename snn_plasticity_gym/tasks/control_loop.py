"""The closed loop of a `ControlTask` as tables for compiled loops.

Axes: B lifetimes, D observations, A most actions of an episode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from snn_plasticity_gym.kernels.closed_loop import (
    CREDITED,
    ERROR,
    LAST,
    NO_FACTOR,
    NONE,
    RANDOM,
    REWARD,
    TARGETED,
    Acted,
    Choice,
    Loop,
    Means,
    Payment,
    Senses,
)
from snn_plasticity_gym.kernels.worlds import World
from snn_plasticity_gym.networks.decoders import WinnerDecoder
from snn_plasticity_gym.networks.observation_encoders import OneHotFields
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR
from snn_plasticity_gym.tasks.base import LivedEpisodes

if TYPE_CHECKING:
    from snn_plasticity_gym.tasks.control import ControlTask

_TIES = {"random": RANDOM, "none": NONE, "last": LAST}
_FACTORS = {"none": NO_FACTOR, "reward": REWARD, "rpe": ERROR, "targeted": TARGETED, "credited": CREDITED}


def control_loop(task: ControlTask) -> ControlLoop | None:
    """Return the loop of a task if all its parts are known here: one-hot fields with a period, a winner, the world."""
    encoder, decoder = task.encoder, task.decoder
    if type(encoder) is not OneHotFields or type(decoder) is not WinnerDecoder or encoder.period is None:
        return None
    world = task.worlds.tables() if task.device.type == "cpu" else None
    if world is None:
        return None
    return ControlLoop(task, world, encoder, encoder.period, decoder)


class ControlLoop:
    """See `ClosedLoop`.

    Args:
        task: Whose loop it is.
        world: Tables of its world.
        encoder: Its encoder.
        period: Of that, in steps.
        decoder: Its decoder.
    """

    def __init__(
        self, task: ControlTask, world: World, encoder: OneHotFields, period: float, decoder: WinnerDecoder
    ) -> None:
        config = task.config
        self._task = task
        names = [population.name for population in task.populations]
        sizes = [population.size for population in task.populations]
        first = dict(zip(names, np.cumsum([0, *sizes]).tolist(), strict=False))
        limit = min(task.max_actions, task.worlds.max_episode_steps or task.max_actions)
        shape = task.num_lifetimes, len(encoder.edges)
        self.loop = Loop(
            world=world,
            senses=Senses(encoder.edges.numpy(), float(period), first[INPUT]),
            choice=Choice(
                decoder.num_actions,
                decoder.group_size,
                _TIES[decoder.tie],
                decoder.tie_action,
                names.index(MOTOR),
                first[MOTOR],
            ),
            payment=self._payment(),
            window=task.window,
            max_actions=limit,
            carries=config.carry_state,
            noise=config.noise / math.sqrt(config.dt),
            acted=Acted(
                actions=np.zeros((task.num_lifetimes, limit), dtype=np.int64),
                rewards=np.zeros((task.num_lifetimes, limit), dtype=np.float32),
                number=np.zeros(task.num_lifetimes, dtype=np.int64),
                terminated=np.zeros(task.num_lifetimes, dtype=np.bool_),
                observation=np.zeros(shape, dtype=np.float32),
                highest=np.zeros(shape, dtype=np.float32),
            ),
        )

    def _payment(self) -> Payment:
        """Return what follows from a reward, as far as the task knows it."""
        config, factors = self._task.config, self._task.reward_factors
        nothing = np.zeros((1, 0), dtype=np.float32)
        unheard = Means(1.0, nothing[0], nothing[0])
        return Payment(
            kind=_FACTORS[config.third_factor],
            factor=factors.means,
            predicts=factors.critic is not None,
            rate=config.critic_rate,
            gamma=config.critic_gamma,
            start=config.critic_start,
            critic=nothing if factors.critic is None else factors.critic.weights.numpy(),
            modulation=0,
            heeds=False,
            own=unheard,
            surprise=unheard.mean,
            traces=nothing[0],
            left=1.0,
        )

    def begin(self) -> Sequence[np.random.Generator]:
        """Let the worlds stand where their episodes begin."""
        self._task.worlds.states(self.loop.world.state)
        self.loop.acted.observation[:] = self._task.observations.numpy()
        self.loop.acted.rewards[:] = 0.0
        return self._task.streams

    def end(self) -> LivedEpisodes:
        """See `ClosedLoop`."""
        acted, task = self.loop.acted, self._task
        for row, count in enumerate(acted.number.tolist()):
            task.worlds.lived(row, acted.actions[row, :count], self.loop.world.state[row])
        number = torch.from_numpy(acted.number.copy())  # (B,)
        last = torch.from_numpy(acted.actions).gather(1, (number - 1).unsqueeze(1)).squeeze(1)  # (B,)
        task.lived(torch.from_numpy(acted.observation), last, number)
        return LivedEpisodes(
            torch.from_numpy(acted.rewards.copy()),
            number * task.window,
            torch.from_numpy(acted.terminated.copy()),
            {"num_actions": number, "highest": torch.from_numpy(acted.highest.copy())},
        )
