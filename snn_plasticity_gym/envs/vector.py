"""The vector environment: B lifetimes side by side in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.event_interface import (
    EventInterface,
    Observation,
    episode_info,
)
from snn_plasticity_gym.envs.flat_batches import FlatBatches
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.envs.rendering import check_render_mode, render_frame
from snn_plasticity_gym.envs.spaces import action_space, observation_space


class PlasticityVectorEnv(FlatBatches, VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """B independent networks whose synapses ask for weight changes; `PlasticityEnv` explains spaces and reward.

    All lifetimes are simulated in one batch of torch tensors. They reset themselves in the step that ends an episode
    (`AutoresetMode.SAME_STEP`): the terminal step's infos stand under `final_info`, its observation under `final_obs`.
    Row i does what `PlasticityEnv` does with seed s + i, whatever `num_envs` is.

    Trainers use the flat interface (`events`, `apply`, `finish`): torch batches of any size, without padding.

    Args:
        env_id: Which environment, e.g. "SNNPlastic-Unsup1-v0"; `gymnasium.make_vec` gives it.
        num_envs: Number of lifetimes B.
        render_mode: "rgb_array" or None.
        max_episode_steps: Steps after which an episode is cut off without a reward; None: never.
        settings: Fields of the environment's configuration class.

    Raises:
        ValueError: A setting is unknown, out of range or contradicts another.
    """

    metadata = {  # noqa: RUF012 - Gymnasium's own form
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        env_id: str,
        num_envs: int = 1,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1 or None, got {max_episode_steps}")
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self.config = environment_config(env_id, **settings)
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self._interface = EventInterface(make_engine(env_id, self.config, num_envs, self.render_mode))
        self.single_observation_space = observation_space(self.config, self.engine)
        self.single_action_space = action_space(self.config)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)  # steps of each row's episode
        self._started = False

    @property
    def engine(self) -> Engine:
        """The lifetimes themselves."""
        return self._interface.engine

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Show the next image to every lifetime.

        Args:
            seed: Starts new lifetimes with seeds seed, seed + 1, ...; or one seed (or None) per lifetime. Everything
                that follows is a function of it.
            options: {"new_lifetime": True} starts new lifetimes too, the next ones that the present seeds lead to.

        Returns:
            Observations of the first time step, and an empty info.
        """
        seeds = self._seeds(seed)
        if options and options.get("new_lifetime"):
            self._interface.start_lifetimes(seeds)
        else:
            fresh = [row for row, one in enumerate(seeds) if one is not None]
            self.engine.start_lifetimes(fresh, [seeds[row] for row in fresh])
        self._started = True
        self._elapsed[:] = 0
        self._interface.begin()
        return self._interface.observe(), {}

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
            return [int(seed) + row for row in range(self.num_envs)]
        seeds: list[int | None] = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must be one number or num_envs={self.num_envs} of them, got {len(seeds)}")
        if self._started:
            return seeds
        return [int(self.np_random.integers(2**31)) if one is None else one for one in seeds]

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Answer the presented events of every lifetime.

        Args:
            actions: Normalised weight changes, (B, E).

        Returns:
            Observations, rewards, terminations, truncations, and infos in Gymnasium's vector form.

        Raises:
            ValueError: Wrong shape, or a used slot is not finite.
        """
        rewards, ended = self._interface.answer(actions)
        self._elapsed += 1
        terminations = np.zeros(self.num_envs, dtype=bool)
        truncations = np.zeros(self.num_envs, dtype=bool)
        infos: dict[str, Any] = {}
        for row in ended:
            result = self.engine.finish([row])
            truncations[row] = bool(result.truncated[0])
            terminations[row] = not truncations[row]
            blank = {name: values[0] for name, values in self._interface.blank(1).items()}
            infos = self._add_info(infos, {"final_obs": blank, "final_info": episode_info(result)}, row)
        if self.max_episode_steps is not None:
            late = (self._elapsed >= self.max_episode_steps) & ~terminations & ~truncations
            truncations |= late
            if late.any():
                cut = self._interface.observe()
                for row in np.flatnonzero(late).tolist():
                    final = {"final_obs": {name: values[row] for name, values in cut.items()}, "final_info": {}}
                    infos = self._add_info(infos, final, row)
        over = np.flatnonzero(terminations | truncations).tolist()
        if over:
            self._elapsed[over] = 0
            self._interface.begin(over)
        return self._interface.observe(), rewards, terminations, truncations, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture per lifetime, uint8 (height, width, 3); None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array' at construction")
            return None
        return tuple(render_frame(self.engine, row) for row in range(self.num_envs))
