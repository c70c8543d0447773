"""What networks of given weights are worth in an environment: nothing in them is plastic.

Axes: B networks, E episodes, D coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.genome import Genome
from snn_plasticity_gym.networks.recurrent import INPUT
from snn_plasticity_gym.rules.constant import ZeroRule
from snn_plasticity_gym.tasks.control import ControlTask


class Scores(NamedTuple):
    """How networks did."""

    returns: NDArray[np.float64]  # (B, E)
    actions: NDArray[np.int64]  # (B, E) world steps
    terminated: NDArray[np.bool_]  # (B, E): ended by the world, not cut off
    highest: NDArray[np.float64]  # (B, E, observations) largest value after an action


class Contest:
    """B networks side by side that live through episodes with the weights that they are given.

    Args:
        env_id: Environment in which a network acts in a world.
        config: Its settings.
        num_networks: B.
        meets: Whether ranges of observations follow what these networks meet, if `config` measures them.
    """

    def __init__(self, env_id: str, config: ControlConfig, num_networks: int, meets: bool = False) -> None:
        settings = to_dict(config) | config.learning() | config.frozen()
        settings |= {"range_sample": config.range_sample} if meets else {}
        self._env = PlasticityVectorEnv(env_id, num_envs=num_networks, **settings)
        task = self._env.engine.task
        assert isinstance(task, ControlTask)
        self.task = task

    def genome(self, units: Sequence[float], smoothness: float) -> Genome:
        """Return the coordinates of the networks; see `Genome`."""
        config, size = self.task.config, self.task.encoder.size
        fields = size // self.task.observations.shape[1]
        return Genome(self._env.engine.network, (config.w_min, config.w_max), units, INPUT, fields, smoothness)

    def check_observation(self, number: int) -> None:
        """Refuse an observation that the world does not have.

        Raises:
            ConfigError: In one line.
        """
        count = self.task.observations.shape[1]
        if number >= count:
            raise ConfigError(
                f"fitness highest:N takes observations 0 to {count - 1} of {self.task.source}, got {number}"
            )

    def fresh(self, genome: Genome, seed: int) -> NDArray[np.float64]:
        """Return the coordinates of a network whose weights have just been drawn, (D,)."""
        self._env.engine.start_lifetimes([0], [seed])
        return genome.coordinates(0)

    def play(self, genome: Genome, coordinates: NDArray[np.float64], seeds: Sequence[int], episodes: int) -> Scores:
        """Let networks live through episodes.

        Args:
            genome: What coordinates mean.
            coordinates: Of the networks, (B, D).
            seeds: Of their episodes, B of them; networks of one seed live through the same ones.
            episodes: E.
        """
        engine = self._env.engine
        engine.start_lifetimes(range(self._env.num_envs), seeds)
        genome.write(coordinates)
        engine.network.non_plastic.fill_(True)
        self._env.begin()
        results = [self._env.run_episode(ZeroRule()) for _ in range(episodes)]
        return Scores(
            np.stack([result.reward.double().numpy() for result in results], axis=1),
            np.stack([result.info["num_actions"].numpy() for result in results], axis=1),
            np.stack([~result.truncated.numpy() for result in results], axis=1),
            np.stack([result.info["highest"].double().numpy() for result in results], axis=1),
        )

    def close(self) -> None:
        """Close the worlds."""
        self._env.close()
