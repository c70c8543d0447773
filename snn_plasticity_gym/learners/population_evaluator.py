"""Evaluation of networks with given, fixed weights in an environment, without plasticity.

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


class EpisodeScores(NamedTuple):
    """Results of networks in episodes."""

    returns: NDArray[np.float64]  # (B, E)
    actions: NDArray[np.int64]  # (B, E) environment steps
    terminated: NDArray[np.bool_]  # (B, E): terminated, not truncated
    highest: NDArray[np.float64]  # (B, E, observations) largest value after an action


class PopulationEvaluator:
    """Runs B networks with given weights in parallel.

    Args:
        env_id: Environment in which a network acts in a world.
        config: Its settings.
        num_networks: B.
        update_ranges: Whether these networks' observations update the ranges, if `config` measures them.
    """

    def __init__(self, env_id: str, config: ControlConfig, num_networks: int, update_ranges: bool = False) -> None:
        settings = to_dict(config) | config.learning() | config.frozen()
        settings |= {"range_sample": config.range_sample} if update_ranges else {}
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
        """Check that the world has an observation of this index.

        Raises:
            ConfigError: It has not.
        """
        count = self.task.observations.shape[1]
        if number >= count:
            raise ConfigError(
                f"fitness highest:N takes observations 0 to {count - 1} of {self.task.source}, got {number}"
            )

    def fresh(self, genome: Genome, seed: int) -> NDArray[np.float64]:
        """Return the coordinates of a newly initialised network, (D,)."""
        self._env.engine.start_lifetimes([0], [seed])
        return genome.coordinates(0)

    def play(
        self, genome: Genome, coordinates: NDArray[np.float64], seeds: Sequence[int], episodes: int
    ) -> EpisodeScores:
        """Run episodes of all networks.

        Args:
            genome: Maps coordinates to weights.
            coordinates: Of the networks, (B, D).
            seeds: Of their episodes, B of them; networks of one seed get the same ones.
            episodes: E.
        """
        engine = self._env.engine
        engine.start_lifetimes(range(self._env.num_envs), seeds)
        genome.write(coordinates)
        engine.network.non_plastic.fill_(True)
        self._env.begin()
        results = [self._env.run_episode(ZeroRule()) for _ in range(episodes)]
        return EpisodeScores(
            np.stack([result.reward.double().numpy() for result in results], axis=1),
            np.stack([result.info["num_actions"].numpy() for result in results], axis=1),
            np.stack([~result.truncated.numpy() for result in results], axis=1),
            np.stack([result.info["highest"].double().numpy() for result in results], axis=1),
        )

    def close(self) -> None:
        """Close the worlds."""
        self._env.close()
