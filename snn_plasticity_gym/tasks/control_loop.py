"""The closed loop of a `ControlTask` as tables for compiled loops.

Axes: B lifetimes, D observations, A most actions of an episode, V numbers of an action.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from snn_plasticity_gym.kernels.choices import Choice
from snn_plasticity_gym.kernels.closed_loop import (
    CREDITED,
    ERROR,
    NO_FACTOR,
    REWARD,
    TARGETED,
    ActionRecord,
    Loop,
    Means,
    RewardSignals,
)
from snn_plasticity_gym.kernels.foreign import Foreign
from snn_plasticity_gym.kernels.senses import Senses
from snn_plasticity_gym.kernels.worlds import FOREIGN, GOES_ON, TERMINATED, TRUNCATED, foreign_world
from snn_plasticity_gym.networks.decoders import LevelsDecoder, PopulationDecoder, SoftmaxDecoder, WinnerDecoder
from snn_plasticity_gym.networks.observation_encoders import GaussianPopulation, OneHotFields, RateEncoder
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR
from snn_plasticity_gym.tasks.base import LivedEpisodes

if TYPE_CHECKING:
    from snn_plasticity_gym.tasks.control import ControlTask

_FACTORS = {"none": NO_FACTOR, "reward": REWARD, "rpe": ERROR, "targeted": TARGETED, "credited": CREDITED}
_ENCODERS = (OneHotFields, GaussianPopulation, RateEncoder)  # exact classes: derived ones may differ
_DECODERS = (WinnerDecoder, SoftmaxDecoder, LevelsDecoder, PopulationDecoder)


def control_loop(task: ControlTask) -> ControlLoop | None:
    """Return the loop of a task with a spiking encoder and a decoder of this package; else None."""
    encoder: Any = task.encoder
    decoder: Any = task.decoder
    parts = [decoder, decoder.choice] if type(decoder) is LevelsDecoder else [decoder]
    if type(encoder) not in _ENCODERS or any(type(part) not in _DECODERS for part in parts):
        return None
    if task.device.type != "cpu":
        return None
    return ControlLoop(task, encoder.tables(), decoder.tables(task.window * task.config.dt))


class ControlLoop:
    """See `ClosedLoop`.

    Args:
        task: The task.
        senses: Its encoder.
        choice: Its decoder.
    """

    def __init__(self, task: ControlTask, senses: Senses, choice: Choice) -> None:
        config = task.config
        self._task = task
        names = [population.name for population in task.populations]
        sizes = [population.size for population in task.populations]
        first = dict(zip(names, np.cumsum([0, *sizes]).tolist(), strict=False))
        limit = min(task.max_actions, task.worlds.max_episode_steps or task.max_actions)
        shape = task.num_lifetimes, len(senses.place)
        actions = task.worlds.action_space
        width = 0 if isinstance(actions, Discrete) else math.prod(actions.shape)
        self._discrete = isinstance(actions, Discrete)
        self._foreign: Foreign | None = None  # kept alive as long as loops may call it
        self._error: BaseException | None = None
        self.loop = Loop(
            world=task.worlds.tables() or foreign_world(task.num_lifetimes),
            senses=senses._replace(first=first[INPUT]),
            choice=choice._replace(population=names.index(MOTOR), first=first[MOTOR]),
            signals=self._reward_signals(),
            window=task.window,
            max_actions=limit,
            keeps_membranes=config.carry_state,
            noise=config.noise / math.sqrt(config.dt),
            deaf=np.array(
                [first[name] + place for name, some in task.deaf.items() for place in np.flatnonzero(some.numpy())],
                dtype=np.int64,
            ),
            deaf_after=config.change_after,
            action_record=ActionRecord(
                actions=np.zeros((task.num_lifetimes, limit), dtype=np.int64),
                values=np.zeros((task.num_lifetimes, limit, width), dtype=np.float32),
                rewards=np.zeros((task.num_lifetimes, limit), dtype=np.float32),
                number=np.zeros(task.num_lifetimes, dtype=np.int64),
                terminated=np.zeros(task.num_lifetimes, dtype=np.bool_),
                observation=np.zeros(shape, dtype=np.float32),
                highest=np.zeros(shape, dtype=np.float32),
                observations=np.zeros((shape[0], 0, shape[1]), dtype=np.float32)
                if task.met is None
                else task.met.table,
            ),
        )

    def _reward_signals(self) -> RewardSignals:
        """Return the tables for processing rewards, as far as the task defines them."""
        config, factors = self._task.config, self._task.reward_factors
        nothing = np.zeros((1, 0), dtype=np.float32)
        unheard = Means(1.0, nothing[0], nothing[0])
        return RewardSignals(
            kind=_FACTORS[config.third_factor],
            factor=factors.means,
            predicts=factors.critic is not None,
            rate=config.critic_rate,
            gamma=config.critic_gamma,
            start=config.critic_start,
            critic=nothing if factors.critic is None else factors.critic.weights.numpy(),
            paired=self._task.encoder.size if config.critic_pairs else 0,
            modulation=0,
            uses_surprise=False,
            own=unheard,
            surprise=unheard.mean,
            traces=nothing[0],
            left=1.0,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out process-local state."""
        return {**vars(self), "_foreign": None}

    def _step(self, row: int) -> float:
        """Step Python's copy of a world with the action chosen by a loop; return its reward.

        Exceptions cannot pass through the loop: they end the episodes of all lifetimes, and are raised by `end`.
        """
        action_record, ended = self.loop.action_record, self.loop.world.ended
        if self._error is not None:
            ended[row] = TRUNCATED
            return 0.0
        try:
            number = action_record.number[row]
            moved = self._task.worlds.move(
                row, (action_record.actions if self._discrete else action_record.values)[row, number]
            )
        except BaseException as error:  # Ctrl-C, too
            self._error = error
            return self._step(row)
        action_record.observation[row] = moved.observation
        ended[row] = TERMINATED if moved.terminated else TRUNCATED if moved.truncated else GOES_ON
        return moved.reward

    def begin(self) -> Sequence[np.random.Generator]:
        """Set the worlds to their initial states."""
        if self.loop.world.kind != FOREIGN:
            self._task.worlds.begin(self.loop.world)
        elif self._foreign is None:
            self._foreign = Foreign(self._step)
            self.loop = self.loop._replace(world=self.loop.world._replace(step=self._foreign.address))
        if self._task.met is not None:  # ranges may have changed
            encoder: Any = self._task.encoder
            self.loop = self.loop._replace(senses=encoder.tables()._replace(first=self.loop.senses.first))
        self.loop.action_record.observation[:] = self._task.observations.numpy()
        self.loop.action_record.rewards[:] = 0.0
        return self._task.streams

    def end(self) -> LivedEpisodes:
        """See `ClosedLoop`.

        Raises:
            WorldError: A world violated the Gymnasium interface.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        action_record, task = self.loop.action_record, self._task
        if self.loop.world.kind != FOREIGN:
            for row, count in enumerate(action_record.number.tolist()):
                task.worlds.lived(row, action_record.actions[row, :count], self.loop.world)
        all_rows, latest = np.arange(task.num_lifetimes), action_record.number - 1
        last = (action_record.actions if self._discrete else action_record.values)[all_rows, latest]  # (B,) or (B, V)
        number = torch.from_numpy(action_record.number.copy())  # (B,)
        task.lived(torch.from_numpy(action_record.observation), torch.from_numpy(last), number)
        return LivedEpisodes(
            torch.from_numpy(action_record.rewards.copy()),
            number * task.window,
            torch.from_numpy(action_record.terminated.copy()),
            {"num_actions": number, "highest": torch.from_numpy(action_record.highest.copy())},
        )
