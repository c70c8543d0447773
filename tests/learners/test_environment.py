"""Which environments learners of events take, and which wrappers they refuse by name."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformObservation, TransformReward
from stable_baselines3 import A2C
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
)
from toys import SMALL

from snn_plasticity_gym import ConfigError, EventA2C, EventES, EventPPO, PlasticityPolicy, make_sb3_env
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.environment import plasticity_env

ID = "SNNPlastic-Unsup1-v0"
LEARNERS = [EventA2C, EventPPO, EventES]


class Thousandfold(VecEnvWrapper):
    """A reward that is scaled."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observation, rewards, dones, infos = self.venv.step_wait()
        return observation, 1000 * rewards, dones, infos


def vector():
    return make_sb3_env(ID, 4, **SMALL)


def single():
    return gymnasium.make(ID, **SMALL)


VECTORS = {
    "VecNormalize": lambda: VecNormalize(vector(), norm_obs=False),
    "Thousandfold": lambda: Thousandfold(vector()),
    "VecNormalize under others": lambda: VecMonitor(VecCheckNan(VecNormalize(vector(), norm_obs=False))),
}
SINGLES = {
    "TransformReward": lambda: TransformReward(single(), lambda reward: 1000 * reward),
    "TransformObservation": lambda: TransformObservation(single(), lambda seen: seen, single().observation_space),
    "TimeLimit": lambda: TimeLimit(single(), 5),
    "TimeLimit of make": lambda: gymnasium.make(ID, max_episode_steps=5, **SMALL),
    "TimeLimit under Monitor": lambda: Monitor(TimeLimit(single(), 5)),
}


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", VECTORS)
def test_wrappers_around_vectors_that_would_be_passed_by_are_refused_by_name(learner, name):
    with pytest.raises(TypeError, match=rf"^[^\n]*underneath {name.split()[0]}, [^\n]*$"):
        learner("PlasticityPolicy", VECTORS[name]())


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", SINGLES)
def test_wrappers_around_single_environments_are_refused_by_name(learner, name):
    with pytest.raises((TypeError, ConfigError)) as error:
        learner("PlasticityPolicy", SINGLES[name]())
    assert "\n" not in str(error.value)
    if learner is not EventES:  # which says first that one lifetime is too few
        assert f"underneath {name.split()[0]}," in str(error.value)


@pytest.mark.parametrize("learner", LEARNERS)
def test_onlookers_pass(learner):
    env = VecMonitor(VecCheckNan(vector()))
    model = learner("PlasticityPolicy", env, seed=0)
    model.learn(4 * SMALL["num_steps"])
    assert isinstance(plasticity_env(model.env), PlasticityVectorEnv)
    if learner is not EventES:
        model = learner("PlasticityPolicy", Monitor(RecordEpisodeStatistics(single())), seed=0)
        model.learn(SMALL["num_steps"])
        assert isinstance(plasticity_env(model.env), PlasticityEnv)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_wrapper_may_come_later_and_is_refused_then(learner, tmp_path):
    model = learner("PlasticityPolicy", vector(), seed=0)
    kept = model.env
    with pytest.raises(TypeError, match="underneath Thousandfold"):
        model.set_env(Thousandfold(vector()))
    assert model.env is kept
    model.set_env(vector())
    model.save(tmp_path / "model.zip")
    with pytest.raises(TypeError, match="underneath Thousandfold"):
        learner.load(tmp_path / "model.zip", env=Thousandfold(vector()))


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_limit_of_steps_in_slots_cuts_off_no_episode_of_events(learner):
    with pytest.raises(TypeError, match=r"^[^\n]*max_episode_steps=5 would truncate none[^\n]*$"):
        learner("PlasticityPolicy", make_sb3_env(ID, 4, max_episode_steps=5, **SMALL))


@pytest.mark.parametrize("learner", LEARNERS)
def test_gymnasiums_vector_form_is_refused_with_the_way_out(learner):
    env = gymnasium.make_vec(ID, num_envs=4, **SMALL)
    for given in (env, gymnasium.wrappers.vector.RecordEpisodeStatistics(env)):
        with pytest.raises(ConfigError, match=r"^env must be [^\n]*make_sb3_env\(id, num_envs=B, \.\.\.\)[^\n]*$"):
            learner("PlasticityPolicy", given)
    model = learner("PlasticityPolicy", vector(), seed=0)
    with pytest.raises(ConfigError, match="make_sb3_env"):
        model.set_env(env)


def test_slots_go_through_wrappers_in_evaluation_and_in_stock_algorithms():
    model = EventA2C("PlasticityPolicy", vector(), seed=0)
    plain, scaled = (Monitor(single()) for _ in range(2))
    plain.reset(seed=3), scaled.reset(seed=3)
    earned, _ = evaluate_policy(model, plain, n_eval_episodes=2)
    many, _ = evaluate_policy(model, Monitor(TransformReward(scaled.env, lambda reward: 1000 * reward)), 2)
    assert many == pytest.approx(1000 * earned)
    for env in (Thousandfold(vector()), VecNormalize(vector(), norm_obs=False)):
        model = A2C(PlasticityPolicy, env, n_steps=SMALL["num_steps"], seed=0).learn(4 * SMALL["num_steps"])
        assert np.isfinite(model.rollout_buffer.rewards).all()
    assert env.ret_rms.count > 1  # its statistics move


def test_copies_side_by_side_are_refused():
    with pytest.raises(TypeError, match="give make_sb3_env"):
        EventA2C("PlasticityPolicy", DummyVecEnv([single, single]))
