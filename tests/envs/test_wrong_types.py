"""What users give where another type is meant: refused in one line that names it, or taken as it is meant."""

import functools
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from states import assert_same

from snn_plasticity_gym import ConfigError, ControlConfig, EventA2C, load_rule, make_rule, make_sb3_env, register_task
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.envs.event_interface import STATE

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {"dataset": "digits", "n_exc": 4, "num_steps": 6, "history_length": 4, "events_per_step": 8}


def refused(what, call, kind=ValueError):
    """Check that a call is refused in one line which begins with, or names, what was given."""
    with pytest.raises(kind) as error:
        call()
    message = str(error.value)
    assert what in message and "\n" not in message, message
    return message


@pytest.fixture(params=["single", "vector"])
def env(request):
    if request.param == "single":
        return gymnasium.make(ENV_ID, **SMALL).unwrapped
    return gymnasium.make_vec(ENV_ID, num_envs=2, **SMALL)


def zeros(env, dtype=np.float32):
    return np.zeros(env.action_space.shape, dtype)


@pytest.mark.parametrize("given", ["2", 2.0, None, True])
@pytest.mark.parametrize("make", [gymnasium.make_vec, make_sb3_env], ids=["make_vec", "make_sb3_env"])
def test_num_envs_is_a_whole_number(make, given):
    refused("num_envs must be", lambda: make(ENV_ID, num_envs=given, **SMALL), ConfigError)


@pytest.mark.parametrize("given", ["5", 5.5, True])
def test_max_episode_steps_is_a_whole_number(given):
    refused("max_episode_steps must be", lambda: gymnasium.make_vec(ENV_ID, max_episode_steps=given, **SMALL))


@pytest.mark.parametrize("given", ["1", 1.0, -1, np.float32(2), b"1"])
def test_seeds_are_whole_numbers(env, given):
    refused("seed must be a whole number of at least 0, or None, got", lambda: env.reset(seed=given), ConfigError)


def test_seeds_in_a_list_are_whole_numbers():
    envs = gymnasium.make_vec(ENV_ID, num_envs=2, **SMALL)
    refused("seed must be a whole number of at least 0, or None, got 1.5", lambda: envs.reset(seed=[0, 1.5]))


def test_actions_may_be_tensors_of_any_kind(env):
    """Also those of half precision, and those that a network has just computed."""
    expected = None
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        env.reset(seed=0)
        actions = torch.full(env.action_space.shape, 0.5, dtype=dtype, requires_grad=True)
        observation, *_ = env.step(actions)
        expected = observation["weight"] if expected is None else expected
        np.testing.assert_array_equal(observation["weight"], expected)


def test_actions_are_numbers(env):
    env.reset(seed=0)
    before = env.engine.network.weights.clone()
    wrong = ["x", {"a": 1}, zeros(env, complex), zeros(env).astype(str), torch.zeros(8, dtype=torch.complex64)]
    for given in wrong:
        told = "actions must be numbers, a weight change in [-1, 1] for each event slot, got"
        refused(told, functools.partial(env.step, given))
    assert torch.equal(env.engine.network.weights, before)
    env.step(zeros(env))


@pytest.mark.parametrize("given", [None, "delta", 0.5, dict, type(make_rule("zero"))])
def test_rules_can_be_called(env, given):
    env.reset(seed=0)
    refused("a rule must be called with events", lambda: env.run_episode(given))
    assert env.run_episode(make_rule("zero")).reward.isfinite().all()


@pytest.mark.parametrize("given", ["3", 1.5, -1, None])
def test_episodes_to_run_are_counted(env, given):
    env.reset(seed=0)
    refused("count must be", lambda: env.run_episodes(make_rule("zero"), given), ConfigError)
    assert len(env.run_episodes(make_rule("zero"), np.int64(2))) == 2


def test_paths_and_devices_are_texts_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(30) % 3)
    settings = SMALL | {"dataset": tmp_path / "mine.npz", "data_dir": Path("."), "device": torch.device("cpu")}
    config = gymnasium.make(ENV_ID, **settings).unwrapped.config
    assert (config.dataset, config.data_dir, config.device) == (str(tmp_path / "mine.npz"), ".", "cpu")
    refused("n_exc must be a valid integer", lambda: gymnasium.make(ENV_ID, **SMALL | {"n_exc": Path("4")}))


@pytest.mark.parametrize("n_exc", [10**11, 2**52, 10**30])
def test_networks_that_do_not_fit_into_memory_say_so(n_exc):
    make = functools.partial(gymnasium.make, ENV_ID, **SMALL | {"n_exc": n_exc})
    told = refused("1 such networks do not fit into the memory of cpu", make)
    assert "make num_envs, the number of neurons or the images smaller" in told


@pytest.fixture(scope="module")
def model():
    return EventA2C("PlasticityPolicy", make_sb3_env(ENV_ID, 2, **SMALL), seed=np.int64(0))


def test_numbers_of_numpy_are_seeds_of_learners(model):
    plain = EventA2C("PlasticityPolicy", make_sb3_env(ENV_ID, 2, **SMALL), seed=0)
    for mine, theirs in zip(model.policy.parameters(), plain.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("given", ["100", None, True, float("nan")])
def test_total_timesteps_is_a_number(model, given):
    refused("total_timesteps must be", lambda: model.learn(given), ConfigError)
    assert model.num_timesteps == 0


@pytest.mark.parametrize("given", ["1", 1.5, 0, -1, True])
def test_episodes_to_learn_for_are_counted(model, given):
    refused("episodes must be", lambda: model.learn(24, episodes=given), ConfigError)


@pytest.mark.parametrize("given", [None, 5, [1], b"x", {"a": 1}])
def test_rules_are_named_by_texts_and_loaded_from_paths(given):
    refused("unknown rule", lambda: make_rule(given), ConfigError)
    refused("path must be the folder of a run", lambda: load_rule(given), ConfigError)


@pytest.mark.parametrize("given", [None, 5, "", [1]])
def test_ids_of_tasks_have_gymnasiums_form(given):
    known = dict(ENVIRONMENTS)
    wanted = "env_id must be a text of the form 'Name-v0', got"
    refused(wanted, lambda: register_task(given, "module:Class", ControlConfig), ConfigError)
    assert known == ENVIRONMENTS


def test_states_are_those_of_state_dict(env):
    """What is none is refused before anything has changed."""
    env.reset(seed=0)
    env.run_episode(make_rule("stdp"))
    state = env.state_dict()
    wrong = [None, [], "x", 5, {}, {name: value for name, value in state.items() if name != "ages"}]
    for given in wrong:
        refused("a state must be what state_dict() of an environment", functools.partial(env.load_state_dict, given))
    assert_same(env.state_dict(), state)
    env.load_state_dict(state)


def test_the_parts_of_a_state_are_known():
    env = gymnasium.make(ENV_ID, **SMALL).unwrapped
    env.reset(seed=0)
    env.run_episode(make_rule("zero"))
    assert set(env.state_dict()) == set(STATE)


def test_rules_are_saved_into_folders(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    save = functools.partial(model.policy.save_rule, tmp_path / "file")
    told = refused("the folder of a rule must be a folder that can be written to, got", save, ConfigError)
    assert (tmp_path / "file").read_text() == "mine" and str(tmp_path / "file") in told
    for given in (None, 5, b"x"):
        refused("folder must be a path, got", functools.partial(model.policy.save_rule, given), ConfigError)
    assert (model.policy.save_rule(tmp_path / "a" / "b") / "rule.json").is_file()
