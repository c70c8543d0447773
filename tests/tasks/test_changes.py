"""Changes within an episode: actions that act the other way, neurons that hear nothing."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.changes import FlippedActions
from snn_plasticity_gym.tasks.worlds import Worlds

POLE, ANY = "SNNPlastic-CartPole-v0", "SNNPlastic-Control-v0"
FEW = {"hidden_sizes": [8], "steps_per_action": 6, "history_length": 6, "w_init_min": 0.3, "w_init_max": 0.7}


class Told(gymnasium.Env):
    """Tells what it was asked to do."""

    observation_space = spaces.Box(-9, 9, (1,))

    def __init__(self, action_space):
        self.action_space, self.asked = action_space, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.asked.append(action)
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("space", "given", "opposite"),
    [
        (spaces.Discrete(3), [0, 1, 2], [2, 1, 0]),
        (spaces.Discrete(2, start=5), [5, 6], [6, 5]),
        (spaces.Box(-2, 2, (1,)), [[-2.0], [0.5]], [[2.0], [-0.5]]),
        (spaces.Box(0, 4, (2,)), [[0.0, 1.0]], [[4.0, 3.0]]),
        (spaces.Box(-np.inf, np.inf, (1,)), [[3.0]], [[-3.0]]),
        (spaces.Box(0, 5, (1,), dtype=np.int64), [[1]], [[4]]),
    ],
)
def test_what_is_taken_instead(space, given, opposite):
    world = Told(space)
    env = FlippedActions(world, after=1)
    for _ in range(2):  # each episode anew
        world.asked.clear()
        env.reset()
        for action in [*given, *given]:
            env.step(action)
        assert np.array_equal(world.asked, [given[0], *opposite[1:], *opposite])
        assert all(space.contains(np.asarray(one, space.dtype) if space.shape else one) for one in world.asked[1:])


def test_actions_of_a_lander_turn_sides():
    world = Told(spaces.Discrete(4))
    env = FlippedActions(world, instead=[0, 3, 2, 1])
    env.reset()
    for action in range(4):
        env.step(action)
    assert world.asked == [0, 3, 2, 1]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what Gymnasium would have otherwise in its own worlds
@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_it_is_a_wrapper_like_gymnasiums(id):
    env = FlippedActions(gymnasium.make(id), after=2)
    check_env(env, skip_render_check=True)
    again = gymnasium.make(env.spec)
    assert isinstance(again, FlippedActions) and again.after == 2


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (spaces.Discrete(2), {"after": -1}, "at least 0, got -1"),
        (spaces.Discrete(2), {"after": 1.5}, "whole number of steps"),
        (spaces.Discrete(2), {"instead": [1]}, "must name 2 actions from 0 to 1"),
        (spaces.Discrete(2), {"instead": [1, 2]}, "must name 2 actions from 0 to 1"),
        (spaces.Box(-1, 1), {"instead": [0]}, "for Discrete actions"),
        (spaces.Box(0, np.inf), {}, "one bound alone"),
        (spaces.MultiBinary(2), {}, "Discrete or Box"),
    ],
)
def test_what_has_no_opposite(space, arguments, message):
    with pytest.raises(ConfigError, match=message):
        FlippedActions(Told(space), **arguments)


def test_a_world_taken_up_after_the_change_stands_where_it_was():
    worlds, others = (Worlds("CartPole-v1", 1, flipped_after=3) for _ in range(2))
    worlds.reset([0], [4])
    for action in (0, 0, 1, 0, 1):
        worlds.step([0], torch.tensor([action]))
    others.load_state_dict(worlds.state_dict())
    one, other = (some.step([0], torch.tensor([1])).observation for some in (worlds, others))
    assert torch.equal(one, other)
    plain = Worlds("CartPole-v1", 1)
    plain.reset([0], [4])
    for action in (0, 0, 1, 1, 0):  # the last two the other way
        plain.step([0], torch.tensor([action]))
    assert torch.equal(plain.step([0], torch.tensor([0])).observation, one)


def lived_by_events(**settings):
    """Live through an episode step by step; return which hidden neurons fired in each step, (T, N), and the actions."""
    config = {
        **FEW,
        "max_actions": 10,
        "world": "Acrobot-v1",
        "encoder": "rate",
        "encoder_kwargs": {"low": -1, "high": 1},
    }
    env = PlasticityVectorEnv(
        ANY, num_envs=1, decoder="softmax", decoder_kwargs={"group_size": 4}, **config, **settings
    )
    env.reset(seed=2)
    rule = make_rule("zero")
    env.run_episode(lambda events: rule(events))  # by events, since a reset has taken the first step
    fired = env.engine.raster["hidden_1"][0].clone()  # bool (T, N)
    actions = [int(action) for action in env.engine.task.worlds.actions(0)]
    env.close()
    return fired, actions


@pytest.mark.parametrize("carried", [True, False])
def test_deaf_neurons_are_silent_from_the_change_on_and_no_others(carried):
    plain, chosen = lived_by_events(carry_state=carried)
    fired, then = lived_by_events(carry_state=carried, deaf=0.25, change_after=4)
    late = 4 * FEW["steps_per_action"]
    assert torch.equal(fired[:late], plain[:late]) and then[:4] == chosen[:4]
    assert plain[late:, :2].any() and fired[:late, :2].any()
    assert not fired[late:, :2].any() and fired[late:, 2:].any()


@pytest.mark.parametrize(
    ("env_id", "settings", "message"),
    [
        (POLE, {"change_after": 5}, "no change is chosen"),
        (POLE, {"change_after": 600, "flipped": True}, "episodes have 500 actions at most"),
        (POLE, {"deaf": 0.2, "hidden_sizes": []}, "there are none; set hidden_sizes"),
        (POLE, {"deaf": 0.01, "hidden_sizes": [9]}, "raise it to 0.11"),
        (POLE, {"deaf": 0.5, "refractory": 0.0}, "set refractory above 0"),
        (POLE, {"deaf": 1.5}, "deaf"),
    ],
)
def test_bad_settings(env_id, settings, message):
    with pytest.raises(ConfigError, match=message):
        PlasticityVectorEnv(env_id, num_envs=1, **settings)
