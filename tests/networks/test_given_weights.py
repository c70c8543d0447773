"""Networks that begin with the weights of a file."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.population_evaluator import PopulationEvaluator
from snn_plasticity_gym.trainers.evolve import evolve

POLE = "SNNPlastic-CartPole-v0"
SMALL = {"hidden_sizes": [3], "decoder_kwargs": {"group_size": 2}, "inhibition": 0.1, "w_min": -2.0, "w_max": 2.0}
SHAPES = {"input_to_hidden_1": (80, 3), "hidden_1_to_motor": (3, 4)}


@pytest.fixture
def matrices():
    rng = np.random.default_rng(2)
    return {name: rng.uniform(-1.5, 1.5, shape).astype(np.float32) for name, shape in SHAPES.items()}


@pytest.fixture
def file(tmp_path, matrices):
    path = tmp_path / "mine.safetensors"
    save_file(matrices, path)
    return path


def test_every_fresh_network_begins_with_them_and_goes_on_from_there(file, matrices):
    env = PlasticityVectorEnv(POLE, num_envs=2, init_weights=str(file), **SMALL)
    for seed in (0, 1):  # fresh networks each
        env.reset(seed=seed)
        for name, weights in matrices.items():
            np.testing.assert_array_equal(env.engine.network.weights_of(name).numpy(), np.stack([weights, weights]))
        assert env.engine.network.weights_of("inhibition").min() < 0  # what was fixed stays
        env.run_episode(make_rule("stdp"))
        assert not np.array_equal(env.engine.network.weights_of("input_to_hidden_1")[0], matrices["input_to_hidden_1"])


def test_the_folder_of_a_run_that_evolved_weights_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--population=4", "--starts=1", "--episodes=8", "--test_episodes=2", "--hidden_sizes=4", "--max_actions=30"]
    run = evolve([f"--env={POLE}", *few, "--w_min=-9", "--w_max=9", "--no-report", "--wandb=disabled", "--seed=3"])
    env = PlasticityVectorEnv(POLE, num_envs=2, init_weights=str(run), hidden_sizes=[4], w_min=-9.0, w_max=9.0)
    env.reset(seed=0)
    for name, weights in load_file(run / "weights.safetensors").items():
        np.testing.assert_array_equal(env.engine.network.weights_of(name)[1].numpy(), weights)


@pytest.mark.parametrize(("changes", "said"), [
    ({"hidden_sizes": [5]}, r"holds hidden_1_to_motor \(3, 4\), .*, the network has hidden_1_to_motor \(5, 4\)"),
    ({"hidden_sizes": []}, r"the network has input_to_motor \(80, 4\); take the settings of the network"),
    ({"w_max": 1.0}, r"weights from -1\.\d+ to 1\.\d+, beyond w_min=-2 and w_max=1; set w_min and w_max"),
    ({"init_weights": "nowhere"}, r"there is no file 'nowhere'; give the folder of a finished run of evolve.py"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(file, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        PlasticityVectorEnv(POLE, **{"init_weights": str(file), **SMALL, **changes})
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_weights_is_refused(file, matrices):
    file.write_bytes(b"no such thing")
    with pytest.raises(ConfigError, match=r"init_weights: '.*mine.safetensors' cannot be read: "):
        PlasticityVectorEnv(POLE, init_weights=str(file), **SMALL)
    matrices["input_to_hidden_1"][0, 0] = np.nan
    save_file(matrices, file)
    with pytest.raises(ConfigError, match="beyond w_min=-2"):
        PlasticityVectorEnv(POLE, init_weights=str(file), **SMALL)


def test_nothing_evolves_where_weights_are_given(file):
    config = PlasticityVectorEnv(POLE, init_weights=str(file), **SMALL).config
    with pytest.raises(ConfigError, match="none can evolve; leave init_weights out"):
        PopulationEvaluator(POLE, config, 2).genome([1.0], 0.0)


def test_the_number_of_networks_does_not_matter(file):
    one, many = (PlasticityVectorEnv(POLE, num_envs=count, init_weights=str(file), **SMALL) for count in (1, 3))
    for env in (one, many):
        env.reset(seed=[4] * env.num_envs)
    earned = [env.run_episode(make_rule("zero")).reward for env in (one, many)]
    assert torch.equal(earned[0].expand(3), earned[1])
