"""Adapter to Stable-Baselines3: a VecEnv around our vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

import snn_plasticity_gym  # noqa: F401 - registers the environments
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv


class PlasticityVecEnv(VecEnv):
    """A `PlasticityVectorEnv` as Stable-Baselines3's VecEnv; the environment itself is `vector_env`.

    Args:
        vector_env: The environment, with autoreset mode SAME_STEP.

    Raises:
        ValueError: It has another autoreset mode, which would add an invalid row to each episode.
    """

    def __init__(self, vector_env: PlasticityVectorEnv) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode must be SAME_STEP, as Stable-Baselines3 expects, got {mode}")
        self.vector_env = vector_env
        self._actions: np.ndarray | None = None
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Reset all lifetimes; seeds and options given before are used now."""
        options = self._options[0] if any(self._options) else None
        observations, info = self.vector_env.reset(seed=self._seeds, options=options)
        self.reset_infos = [info for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions, (B, E), for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Apply the actions to the presented events; terminal infos are those of `PlasticityEnv`."""
        assert self._actions is not None, "step_async() comes first"
        observations, rewards, terminations, truncations, info = self.vector_env.step(self._actions)
        dones = terminations | truncations
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(dones).tolist():
            infos[row] = {
                **_row_of(info.get("final_info", {}), row),
                "terminal_observation": info["final_obs"][row],
                "TimeLimit.truncated": bool(truncations[row]),
            }
        return observations, rewards.astype(np.float32), dones, infos

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return a picture of each lifetime, or None without a render mode."""
        images = self.vector_env.render() if self.vector_env.render_mode else None
        return images if images is not None else [None] * self.num_envs

    def close(self) -> None:
        """Close the environment."""
        self.vector_env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the vector environment, once for each requested lifetime."""
        value = getattr(self.vector_env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment.

        Raises:
            ValueError: Only some lifetimes were given: they are one environment.
        """
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"{attr_name} can be set for all lifetimes at once only: they are one environment")
        setattr(self.vector_env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once; return its result for each requested lifetime."""
        result = getattr(self.vector_env, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each requested lifetime: they have no wrappers."""
        return [False for _ in self._get_indices(indices)]


def make_sb3_env(env_id: str, num_envs: int = 1, **settings: Any) -> VecMonitor:
    """Make an environment for Stable-Baselines3, with episode statistics.

    Args:
        env_id: E.g. "SNNPlastic-Unsup1-v0".
        num_envs: Number of lifetimes.
        settings: Fields of the environment's configuration class.
    """
    vector_env = gymnasium.make_vec(env_id, num_envs=num_envs, **settings)
    assert isinstance(vector_env, PlasticityVectorEnv)
    return VecMonitor(PlasticityVecEnv(vector_env))


def _row_of(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """Convert Gymnasium's vector infos to those of one row; keys without a value there are left out."""
    own = {}
    for key, values in infos.items():
        if key.startswith("_") or not infos.get(f"_{key}", np.ones(row + 1, dtype=bool))[row]:
            continue
        own[key] = _row_of(values, row) if isinstance(values, dict) else values[row]
    return own
