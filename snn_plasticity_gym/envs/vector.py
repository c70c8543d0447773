"""The vector environment: B lifetimes in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.event_interface import (
    EventInterface,
    Observation,
    episode_info,
)
from snn_plasticity_gym.envs.flat_batches import FlatBatches
from snn_plasticity_gym.envs.making import make_engine, read_config, read_options, read_seed
from snn_plasticity_gym.envs.rendering import check_render_mode, render_frame
from snn_plasticity_gym.envs.spaces import action_space, observation_space


class PlasticityVectorEnv(FlatBatches, VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """B independent networks whose synapses receive weight changes; see `PlasticityEnv` for spaces and reward.

    All lifetimes are simulated in one batch of torch tensors. Row i equals `PlasticityEnv` with seed s + i,
    whatever `num_envs` is.

    `autoreset_mode` determines when the next episode begins, the same one in each mode:

    - SAME_STEP: in the step that ends the previous one, with its infos under `final_info` and its observation under
      `final_obs`. Stable-Baselines3 needs this one.
    - NEXT_STEP: in the step after, which ignores the row's action and has no reward.
    - DISABLED: by `reset(options={"reset_mask": ...})`, which is due before the next step.

    Trainers use the flat interface (`events`, `apply`, `finish`): torch batches of any size, without padding.

    Args:
        env_id: Id of the environment, e.g. "SNNPlastic-Unsup1-v0"; `gymnasium.make_vec` gives it.
        num_envs: Number of lifetimes B.
        render_mode: "rgb_array" or None.
        max_episode_steps: Steps after which an episode is truncated, without the reward of its end; None: never.
        autoreset_mode: One of `gymnasium.vector.AutoresetMode`, or its name or value.
        settings: Fields of the environment's configuration class.

    Raises:
        ConfigError: An argument is out of range or contradicts another.
        UnexpectedKeywordError: There is no argument of that name; it is a TypeError, too.
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
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **settings: Any,
    ) -> None:
        num_envs = check_argument("num_envs", num_envs, int, ge=1)
        max_episode_steps = check_argument("max_episode_steps", max_episode_steps, int | None, ge=1)
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self._autoreset = _autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._autoreset}
        self.config = read_config(env_id, settings)
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self._interface = EventInterface(make_engine(env_id, self.config, num_envs, self.render_mode))
        self.single_observation_space = observation_space(self.config, self.engine)
        self.single_action_space = action_space(self.config)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)  # steps of each row's episode
        self._done = np.zeros(num_envs, dtype=bool)  # rows whose episode is over, and the next not begun
        self._started = False

    @property
    def engine(self) -> Engine:
        """The engine of the lifetimes."""
        return self._interface.engine

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode of every lifetime.

        Args:
            seed: Starts new lifetimes with seeds seed, seed + 1, ...; or one seed (or None) per lifetime. Everything
                that follows is a function of it.
            options: {"new_lifetime": True} starts new lifetimes too, the next ones of the present seeds.
                {"reset_mask": mask} does not reset rows where the mask, bool (B,), is False.

        Returns:
            Observations of the first time step (of other rows, their present ones), and an empty info.

        Raises:
            ConfigError: There is no such option, or a seed or the mask is invalid.
            RuntimeError: The first reset of all does not include every row.
        """
        wanted = read_options(options, ("new_lifetime", "reset_mask"))
        rows = self._rows_of(wanted.get("reset_mask"))
        seeds = self._seeds(seed)
        fresh = [row for row in rows if wanted.get("new_lifetime") or seeds[row] is not None]
        self.engine.start_lifetimes(fresh, [seeds[row] for row in fresh])
        self._started = True
        self._begin(rows)
        return self._interface.observe(), {}

    def _rows_of(self, mask: Any) -> list[int]:
        """Return the rows of a reset."""
        if mask is None:
            return list(range(self.num_envs))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
            raise ConfigError(f"reset_mask must be an array of bool with num_envs={self.num_envs} entries, got {got}")
        if not self._started and not mask.all():
            raise RuntimeError("no episode is under way; the first reset() must be of all rows, without a reset_mask")
        return [int(row) for row in np.flatnonzero(mask)]

    def _begin(self, rows: list[int]) -> None:
        if rows:
            self._interface.begin(rows)
            self._elapsed[rows] = 0
            self._done[rows] = False

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Return the seed of each row; without any, the first ones are drawn."""
        seeds: list[int | None] = [None] * self.num_envs
        if seed is not None and (isinstance(seed, str | bytes) or np.ndim(seed) == 0):  # type: ignore[arg-type]
            first = read_seed(seed)
            super().reset(seed=first)
            seeds = [first + row for row in range(self.num_envs)]
        elif seed is not None:
            seeds = [None if one is None else read_seed(one) for one in seed]  # type: ignore[union-attr]
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must be one number or num_envs={self.num_envs} of them, got {len(seeds)}")
        if self._started:
            return seeds
        return [int(self.np_random.integers(2**31)) if one is None else one for one in seeds]

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Apply weight changes for the presented events of every lifetime.

        Args:
            actions: Normalised weight changes, (B, E).

        Returns:
            Observations, rewards, terminations, truncations, and infos in Gymnasium's vector form.

        Raises:
            RuntimeError: An episode is over, and there was no reset (DISABLED only).
            ValueError: Wrong shape, or a used slot is not finite.
        """
        same_step = self._autoreset is AutoresetMode.SAME_STEP
        idle = np.flatnonzero(self._done).tolist()
        if idle and self._autoreset is AutoresetMode.DISABLED:
            raise RuntimeError(
                f"the episodes of rows {idle} are over; call reset(options={{'reset_mask': mask}}), True where one is"
            )
        rewards, ended = self._interface.apply_slots(actions, idle)
        self._elapsed += 1
        self._begin(idle)  # NEXT_STEP
        terminations = np.zeros(self.num_envs, dtype=bool)
        truncations = np.zeros(self.num_envs, dtype=bool)
        infos: dict[str, Any] = {}
        for row in ended:
            result = self.engine.finish([row])
            truncations[row] = bool(result.truncated[0])
            terminations[row] = not truncations[row]
            info = episode_info(result)
            if same_step:
                blank = {name: values[0] for name, values in self._interface.blank(1).items()}
                info = {"final_obs": blank, "final_info": info}
            infos = self._add_info(infos, info, row)
        if self.max_episode_steps is not None:
            late = (self._elapsed >= self.max_episode_steps) & ~terminations & ~truncations
            truncations |= late
            if same_step and late.any():
                cut = self._interface.observe()
                for row in np.flatnonzero(late).tolist():
                    final = {"final_obs": {name: values[row] for name, values in cut.items()}, "final_info": {}}
                    infos = self._add_info(infos, final, row)
        self._done = terminations | truncations
        if same_step:
            self._begin(np.flatnonzero(self._done).tolist())
        return self._interface.observe(), rewards, terminations, truncations, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture per lifetime, uint8 (height, width, 3); None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array' at construction")
            return None
        return tuple(render_frame(self.engine, row) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Free resources of the task, e.g. worlds; `close` calls it once."""
        self.engine.task.close()


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Return a mode given as such, by name or by value."""
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    raise ConfigError(f"autoreset_mode must be one of {', '.join(known.name for known in AutoresetMode)}, got {mode!r}")
