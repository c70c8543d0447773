"""The plasticity environment that an event learner reads events from, underneath what is wrapped around it."""

from __future__ import annotations

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecVideoRecorder,
)

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

# Wrappers that change neither rewards nor observations nor actions nor the ends of episodes.
ONLOOKERS = (VecMonitor, VecCheckNan, VecVideoRecorder)
SINGLE_ONLOOKERS = (Monitor, OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics)


def plasticity_env(env: VecEnv) -> PlasticityVectorEnv | PlasticityEnv:
    """Return the plasticity environment under wrappers, none of which event learners would pass by in silence.

    Raises:
        TypeError: There is none, there are several single ones, or a wrapper changes what is learned from.
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
            "events are learned from one plasticity environment, not from copies side by side; got "
            f"{type(around).__name__}; give make_sb3_env(id, num_envs=B) or one gymnasium.make(id)"
        )
    return plasticity


def _passed_by(wrapper: VecEnvWrapper | gymnasium.Wrapper) -> TypeError:
    return TypeError(
        f"event learners take events and rewards from underneath {type(wrapper).__name__}, which would change nothing; "
        "leave it out, put what it does into a task of your own, or learn slot by slot with stock A2C or PPO"
    )


def not_finite(engine: Engine, result: EpisodeResult) -> str:
    """Return what of an episode of all lifetimes is not finite, and in which; empty: nothing."""
    own = [] if result.event_rewards is None else result.event_rewards
    if not result.reward.isfinite().all() or not all(rewards.sum().isfinite() for rewards in own):
        bad = (~result.reward.isfinite()).nonzero().flatten().tolist()
        return f"the reward is not finite in lifetime {bad[0]}" if bad else "the reward of an event is not finite"
    network = engine.network
    if not network.weights.sum().isfinite():  # one number tells of all: rounding aside, sums hide no NaN
        for projection in network.projections:
            if projection.plasticity is not None:
                finite = network.weights_of(projection.name).isfinite().flatten(1).all(dim=1)  # (B,)
                if not finite.all():
                    lifetime = int((~finite).nonzero()[0])
                    return f"a weight of {projection.name} is not finite in lifetime {lifetime}"
    return ""
