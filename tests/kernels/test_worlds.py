"""Compiled worlds move as Gymnasium's do, step by step."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import TransformReward
from hypothesis import given, settings
from hypothesis import strategies as st
from inlined import from_python

from snn_plasticity_gym.kernels import worlds
from snn_plasticity_gym.kernels.foreign import Foreign
from snn_plasticity_gym.kernels.worlds import FOREIGN, GOES_ON, TERMINATED, TRUNCATED, foreign_world
from snn_plasticity_gym.tasks.changes import FlippedActions
from snn_plasticity_gym.tasks.compiled_worlds import begin_episode, end_episode, put_state, state_of, world_tables

move = from_python(worlds.move)
WORLDS = {
    "pole": ("CartPole-v1", {}),
    "paid otherwise": ("CartPole-v1", {"sutton_barto_reward": True}),
    "car": ("MountainCar-v0", {}),
    "car with a goal velocity": ("MountainCar-v0", {"goal_velocity": 0.02}),
}


@pytest.mark.parametrize("name", WORLDS)
def test_each_step_is_gymnasiums(name):
    """Both start each step from the same state: an unstable world would make much of the last bit of a sine."""
    world, kwargs = WORLDS[name]
    env = gymnasium.make(world, **kwargs)
    tables, random, ends = world_tables(env, 1), np.random.default_rng(3), 0
    for episode in range(20):
        env.reset(seed=episode)
        if episode % 2 and "car" in name:  # near the goal and at the wall, too
            put_state(env, np.array([random.choice([-1.19, 0.45]), random.uniform(-0.07, 0.07)]))
        over = False
        for _ in range(150):
            tables.state[0] = state_of(env)
            action = int(random.integers(env.action_space.n))
            reward = move(0, 0, action, tables)
            _, paid, over, _, _ = env.step(action)
            assert (reward, tables.ended[0]) == (paid, TERMINATED if over else GOES_ON)
            np.testing.assert_allclose(tables.state[0], state_of(env), rtol=0, atol=1e-15)
            if over:
                ends += 1
                break
    assert ends >= 3


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    condition=st.sampled_from(["normal", "noisy", "both"]),
    cues=st.sampled_from([1, 3, 7]),
    rests=st.lists(st.integers(0, 105), min_size=1, max_size=3),
    flips=st.sampled_from([None, 0, 30]),
)
def test_each_step_of_a_trial_is_gymnasiums(seed, condition, cues, rests, flips):
    """Among them trials shorter than the one before in the same tables."""
    env = gymnasium.make("CueAssociation-v0", condition=condition, cues=cues, rests=rests)
    env = env if flips is None else FlippedActions(env, flips)
    tables, random = world_tables(env, 2), np.random.default_rng(seed)
    for episode in range(3):
        spikes, _ = env.reset(seed=seed + episode)
        begin_episode(env, 1, tables)
        np.testing.assert_array_equal(tables.state[1], spikes)
        over, done = False, 0
        while not over:
            action = int(random.integers(2))
            reward = move(1, done, action, tables)
            spikes, paid, over, cut, _ = env.step(action)
            assert not cut and reward == np.float32(paid) and tables.ended[1] == (TERMINATED if over else GOES_ON)
            np.testing.assert_array_equal(tables.state[1], spikes)
            done += 1
        env.reset(seed=seed)
        end_episode(env, 1, tables)
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.unwrapped.step(0)


def test_another_body_is_another_world():
    """Constants are read from the world: a pole that is twice as long falls more slowly."""
    poles = []
    for length in (0.5, 1.0):
        env = gymnasium.make("CartPole-v1")
        env.unwrapped.length, env.unwrapped.polemass_length = length, 0.1 * length
        env.unwrapped.kinematics_integrator = "semi-implicit euler"
        env.reset(seed=0)
        put_state(env, np.array([0.0, 0.0, 0.1, 0.0]))
        tables = world_tables(env, 1)
        tables.state[0] = state_of(env)
        for _ in range(5):
            move(0, 0, 0, tables), env.step(0)
        np.testing.assert_allclose(tables.state[0], state_of(env), atol=1e-12)
        poles.append(tables.state[0, 2])
    assert poles[0] > poles[1] > 0.1


def test_worlds_that_loops_do_not_know():
    class Heavier(CartPoleEnv):
        pass

    assert world_tables(Heavier(), 1) is None
    assert world_tables(TransformReward(gymnasium.make("CartPole-v1"), lambda reward: 2 * reward), 1) is None
    assert world_tables(gymnasium.make("Pendulum-v1"), 1) is None


def test_a_world_elsewhere_is_asked_of_the_copy_that_moves():
    asked = []

    def step(copy):
        asked.append(copy)
        world.ended[copy] = TRUNCATED
        return 0.5 * copy

    foreign, world = Foreign(step), foreign_world(4)
    assert world.kind == FOREIGN and not world.ended.any()
    reward = move(3, 0, 1, world._replace(step=foreign.address))
    assert reward == 1.5 and isinstance(reward, float) and asked == [3]
    assert world.ended.tolist() == [GOES_ON] * 3 + [TRUNCATED]
