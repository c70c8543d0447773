"""Access to the plasticity environment underneath wrappers, from which event learners take events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import torch
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
)

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

# Wrappers that change neither rewards nor observations nor actions nor the ends of episodes, and whose work learners do
# themselves: episode statistics, and checks for non-finite numbers. A recorder would get no steps.
ONLOOKERS = (VecMonitor, VecCheckNan)
SINGLE_ONLOOKERS = (Monitor, OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics)


def check_budget(total_timesteps: Any, episodes: Any) -> int | None:
    """Return the number of episodes after which learning ends; None: no limit.

    Raises:
        ConfigError: One of both is not a valid number.
    """
    check_argument("total_timesteps", total_timesteps, float)  # 1e6 is a common value
    return check_argument("episodes", episodes, int | None, ge=1)


def check_vector_form(env: Any) -> None:
    """Refuse Gymnasium's vector environments, which Stable-Baselines3 would report as an old Gym environment.

    Raises:
        ConfigError: It is one.
    """
    if isinstance(env, VectorEnv):
        raise ConfigError(
            f"env must be in the vector form of Stable-Baselines3, got {type(env).__name__} of gymnasium.make_vec; "
            "give make_sb3_env(id, num_envs=B, ...), or PlasticityVecEnv(env) of snn_plasticity_gym.wrappers.sb3"
        )


def plasticity_env(env: VecEnv) -> PlasticityVectorEnv | PlasticityEnv:
    """Return the plasticity environment under wrappers; refuse wrappers that event learners would bypass.

    Raises:
        TypeError: There is none, there are several single ones, a wrapper changes the data of learning, or a step limit
            would truncate episodes of the slot interface only.
    """
    around: VecEnv = env
    while isinstance(around, VecEnvWrapper):
        if type(around) not in ONLOOKERS:
            raise _passed_by(around)
        around = around.venv
    plasticity = getattr(around, "vector_env", None)
    if isinstance(around, DummyVecEnv) and around.num_envs == 1:
        single: gymnasium.Env = around.envs[0]
        while isinstance(single, gymnasium.Wrapper):
            if type(single) not in SINGLE_ONLOOKERS:
                raise _passed_by(single)
            single = single.env
        plasticity = single
    if not isinstance(plasticity, PlasticityVectorEnv | PlasticityEnv):
        raise TypeError(
            "events are learned from one plasticity environment, not from parallel copies; got "
            f"{type(around).__name__}; give make_sb3_env(id, num_envs=B) or one gymnasium.make(id)"
        )
    if isinstance(plasticity, PlasticityVectorEnv) and plasticity.max_episode_steps is not None:
        raise TypeError(
            f"event learners run whole episodes, max_episode_steps={plasticity.max_episode_steps} would truncate "
            "none; leave it out, and set num_steps or max_actions of the environment"
        )
    return plasticity


def _passed_by(wrapper: VecEnvWrapper | gymnasium.Wrapper) -> TypeError:
    return TypeError(
        f"event learners take events and rewards from underneath {type(wrapper).__name__}, which would have no effect; "
        "leave it out, put its function into a task of your own, or learn slot by slot with stock A2C or PPO"
    )


def not_finite(engine: Engine, results: Sequence[EpisodeResult]) -> str:
    """Return a message on a non-finite reward of episodes, or a weight after them, with its lifetime; empty: none."""
    finite = torch.stack([result.reward for result in results]).isfinite().all(dim=0)  # (B,)
    if not finite.all():
        return f"the reward is not finite in lifetime {int((~finite).nonzero()[0])}"
    if not all(rewards.sum().isfinite() for result in results for rewards in result.event_rewards or ()):
        return "the reward of an event is not finite"
    network = engine.network
    if not network.weights.sum().isfinite():  # one check of all: a sum propagates NaN
        for projection in network.projections:
            if projection.plasticity is not None:
                finite = network.weights_of(projection.name).isfinite().flatten(1).all(dim=1)  # (B,)
                if not finite.all():
                    lifetime = int((~finite).nonzero()[0])
                    return f"a weight of {projection.name} is not finite in lifetime {lifetime}"
    return ""
