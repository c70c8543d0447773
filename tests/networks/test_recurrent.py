"""Wiring of networks that act: boxes of receptive fields."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.control_worlds import CartPoleConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.recurrent import Boxes
from snn_plasticity_gym.rules import make_rule


def test_a_box_is_a_run_of_fields_of_each_observation():
    weights = Boxes(observations=4, width=8, weight=0.3)(np.random.default_rng(0), (80, 500)).reshape(4, 20, 500)
    inside = weights > 0
    assert (inside.sum(axis=1) >= 1).all() and inside.sum(axis=1).max() == 8
    starts = np.diff(inside.astype(int), axis=1, prepend=0, append=0) == 1
    assert (starts.sum(axis=1) == 1).all(), "fields of a box are neighbours"
    assert weights[inside].min() >= 0.24 and weights[inside].max() <= 0.36
    assert inside.any(axis=2).all(), "every field is in some box"
    assert not np.array_equal(inside[0], inside[1])


SETTINGS = {"hidden_sizes": [30], "hidden_fields": 8, "plastic_hidden": False, "w_max": 0.1, "w_init_max": 0.1}
SETTINGS |= {"w_min": 0.0, "w_init_min": 0.0, "eta": 0.01}


def test_boxes_stay_while_the_synapses_behind_them_learn():
    env = PlasticityVectorEnv("SNNPlastic-CartPole-v0", num_envs=2, noise=0.5, **SETTINGS)
    env.reset(seed=1)
    network = env.engine.network
    boxes = network.weights_of("input_to_hidden_1").clone()
    behind = network.weights_of("hidden_1_to_motor").clone()
    assert not torch.equal(boxes[0], boxes[1]) and boxes.max() > 0.1, "beyond w_max, which is for what learns"
    env.run_episode(make_rule("stdp", learning_rate=0.05))
    assert torch.equal(network.weights_of("input_to_hidden_1"), boxes)
    assert not torch.equal(network.weights_of("hidden_1_to_motor"), behind)


def test_boxes_that_cannot_be():
    with pytest.raises(ConfigError, match="it needs plastic_hidden off and hidden_sizes"):
        CartPoleConfig(hidden_fields=3)
    with pytest.raises(ConfigError, match="it needs plastic_hidden off and hidden_sizes"):
        CartPoleConfig(hidden_fields=3, plastic_hidden=False, hidden_sizes=())
    with pytest.raises(ConfigError, match="hidden_fields=21 are more than encoder"):
        PlasticityVectorEnv("SNNPlastic-CartPole-v0", **(SETTINGS | {"hidden_fields": 21}))
    with pytest.raises(ConfigError, match="set modulation to factor"):
        CartPoleConfig(third_factor="credited")
