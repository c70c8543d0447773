"""What Gymnasium knows about the environments, and what importing the package costs."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import load_env_creator

import snn_plasticity_gym
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

COMMON = {"dataset": "digits", "num_steps": 5, "history_length": 5, "events_per_step": 64}
NETWORKS = {
    "SNNPlastic-Grad-v0": {"hidden_sizes": (4,), "layer_scalars": (0.5, 1.0)},
    "SNNPlastic-Semi-v0": {"hidden_sizes": (4,), "third_factor": "feedback"},
}
ENV_IDS = list(snn_plasticity_gym.ENVIRONMENTS)


@pytest.fixture(params=ENV_IDS)
def env_id(request):
    return request.param


WORLDS = ("SNNPlastic-Control-v0", "SNNPlastic-CartPole-v0", "SNNPlastic-MountainCar-v0")
WORLDS += ("SNNPlastic-Pendulum-v0", "SNNPlastic-InvertedPendulum-v0", "SNNPlastic-HalfCheetah-v0")
WORLDS += ("SNNPlastic-Acrobot-v0", "SNNPlastic-LunarLander-v0", "SNNPlastic-CueAssociation-v0")
ACTING = {"steps_per_action": 5, "max_actions": 3, "history_length": 5, "events_per_step": 64, "hidden_sizes": (4,)}


def small(env_id):
    """Settings of little work."""
    if env_id in WORLDS:
        return ACTING
    return COMMON | NETWORKS.get(env_id, {"n_exc": 4})


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def in_fresh_python(program):
    """Run a program by itself and return what it prints."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_the_first_environment_is_there():
    assert "SNNPlastic-Unsup1-v0" in ENV_IDS


def test_registration_names_classes_and_imports_none_of_them(env_id):
    spec = gymnasium.spec(env_id)
    assert spec.entry_point == "snn_plasticity_gym.envs.single:PlasticityEnv"
    assert spec.vector_entry_point == "snn_plasticity_gym.envs.vector:PlasticityVectorEnv"
    assert load_env_creator(spec.entry_point) is PlasticityEnv
    assert load_env_creator(spec.vector_entry_point) is PlasticityVectorEnv
    assert spec.kwargs == {"env_id": env_id}
    assert spec.max_episode_steps is None  # steps per episode depend on events and slots
    assert not spec.nondeterministic


def test_every_configuration_is_registered_under_its_id():
    ours = {name for name in gymnasium.registry if name.startswith("SNNPlastic")}
    assert ours == set(ENV_IDS)


def test_make(env_id):
    env = gymnasium.make(env_id, **small(env_id))
    assert type(env.unwrapped) is PlasticityEnv
    assert env.unwrapped.config == snn_plasticity_gym.environment_config(env_id, **small(env_id))
    assert env.spec.id == env_id
    observation, _ = env.reset(seed=0)
    env.step(np.zeros(64, np.float32))
    env.close()
    again = gymnasium.make(env.spec)  # all settings are in the spec
    assert again.unwrapped.config == env.unwrapped.config
    repeated, _ = again.reset(seed=0)
    assert all(np.array_equal(observation[name], repeated[name]) for name in observation)


def test_make_vec(env_id):
    env = gymnasium.make_vec(env_id, num_envs=3, render_mode="rgb_array", max_episode_steps=4, **small(env_id))
    assert type(env) is PlasticityVectorEnv
    assert env.num_envs == 3 and env.render_mode == "rgb_array"
    assert env.config == snn_plasticity_gym.environment_config(env_id, **small(env_id))
    assert env.spec.id == env_id
    env.reset(seed=0)
    cut_off = [env.step(np.zeros((3, 64), np.float32))[3].any() for _ in range(4)]
    assert cut_off == [False, False, False, True]
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_make_vec_of_single_environments(env_id, mode):
    """The slow way, with a limit as with `make`; row by row it does the same as the fast one."""
    slow = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode=mode, max_episode_steps=4, **small(env_id))
    fast = gymnasium.make_vec(env_id, num_envs=2, **small(env_id))
    try:
        shown, _ = slow.reset(seed=3)
        expected, _ = fast.reset(seed=3)
        for step in range(4):
            assert all(np.array_equal(shown[name], expected[name]) for name in expected)
            shown, _, _, truncated, _ = slow.step(np.zeros((2, 64), np.float32))
            expected, *_ = fast.step(np.zeros((2, 64), np.float32))
            assert truncated.all() == (step == 3)
    finally:
        slow.close()


def test_wrong_settings_are_refused_by_make_in_one_line(env_id):
    for maker in (gymnasium.make, gymnasium.make_vec):  # the first adds to errors of type where they were raised
        message = r"^unexpected keyword argument 'history_lenth'; did you mean 'history_length'[^\n]*$"
        with pytest.raises(ValueError, match=message):
            maker(env_id, history_lenth=3)


@pytest.mark.parametrize(
    "env_id", ["SNNPlastic-Unsup1-v0", pytest.param("SNNPlastic-CartPole-v0", marks=pytest.mark.slow)]
)
def test_the_package_is_found_through_the_id_and_needs_neither_stable_baselines_nor_matplotlib(env_id):
    """`gymnasium.make("snn_plasticity_gym:...")` imports the package, which registers the environment."""
    heavy = ("torchvision", "matplotlib", "stable_baselines3", "wandb")
    printed = in_fresh_python(
        f"import gymnasium, sys; settings = {small(env_id)!r}\n"
        f"assert {env_id!r} not in gymnasium.registry\n"
        f"env = gymnasium.make('snn_plasticity_gym:{env_id}', **settings)\n"
        f"envs = gymnasium.make_vec('snn_plasticity_gym:{env_id}', num_envs=2, **settings)\n"
        "env.reset(seed=0); envs.reset(seed=0)\n"
        f"heavy = [name for name in {heavy} if name in sys.modules]\n"
        "print(type(env.unwrapped).__name__, type(envs).__name__, envs.num_envs, *heavy)"
    )
    assert printed == ["PlasticityEnv", "PlasticityVectorEnv", "2"]


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("torch", "torchvision", "sklearn", "matplotlib", "stable_baselines3", "wandb", "snn_plasticity_gym.envs")
    program = f"import sys, snn_plasticity_gym; print(*[name for name in {heavy} if name in sys.modules])"
    assert in_fresh_python(program) == []


def test_public_names_exist():
    for name in snn_plasticity_gym.__all__:
        assert hasattr(snn_plasticity_gym, name), name
    assert snn_plasticity_gym.__version__


def test_making_and_stepping_leaves_global_generators_alone(env_id):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    env = gymnasium.make(env_id, **small(env_id))
    env.reset()
    env.step(np.zeros(64, np.float32))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
