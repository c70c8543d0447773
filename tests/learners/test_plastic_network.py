"""Networks whose plasticity is trained: their sizes, and that compiled loops and steps agree on real trials."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.plastic import NETWORKS, PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork, make_network
from snn_plasticity_gym.tasks.cue_association import draw_trials

SIZES = {"plain": 61, "recurrent": 34, "dp-oja": 30, "ndp-oja": 23, "dp-bcm": 30, "ndp-bcm": 23, "formula": 61}
SIZES |= {"backpropamine": 29, "backpropamine-retroactive": 29, "head": 59}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_have_nearly_as_many_parameters(kind):
    network = make_network(PlasticConfig(network=kind), torch.Generator().manual_seed(0))
    assert network.weights[0].shape == (40, SIZES[kind])
    assert abs(network.num_parameters - 2552) <= 0.02 * 2552
    size = SIZES[kind]
    by_hand = {
        "plain": 42 * size,
        "formula": 42 * size + 10,
        "head": 42 * size + 8 * 6 + 8 + 1,
        "recurrent": 42 * size + size**2,
        "dp": 84 * size + size + 2,
        "backpropamine": 84 * size + 3 * (size + 2),
        "backpropamine-retroactive": 84 * size + 4 * (size + 2),
        "ndp": 84 * size + size + 2 + size**2 + size + 4 + 2,
    }
    assert network.num_parameters == by_hand[kind if kind in by_hand else kind.partition("-")[0]]


@pytest.mark.parametrize("kind", NETWORKS)
def test_states_tell_the_spikes_of_the_loops(kind):
    network = make_network(PlasticConfig(network=kind), torch.Generator().manual_seed(1))
    inputs = torch.from_numpy(draw_trials(np.random.default_rng(0), 3, "normal", (45,)).spikes)
    done = network(inputs)
    hidden, output = network.states(inputs)
    assert torch.equal(done.hidden, torch.stack([state.spikes for state in hidden]))
    assert torch.equal(done.output, torch.stack([state.spikes for state in output]))
    assert done.hidden.sum() > 100 and (hidden[0].plastic is None) == (network.rule(0) is None)


def test_both_layers_follow_the_same_formula():
    config = PlasticConfig(network="formula", formula_terms=("post*x20", "w"), eta=0.1, weight_limit=0.5)
    network = make_network(config, torch.Generator().manual_seed(1))
    rule = network.rule(0)
    assert rule is network.rule(1) and rule.terms == [(), ("post", "x20"), ("w",)]
    assert (rule.scale, rule.low, rule.high) == (0.1, -0.5, 0.5)
    with pytest.raises(ConfigError, match="unknown factor 'theta'"):
        make_network(PlasticConfig(network="formula", formula_terms=("theta",)), torch.Generator())


BY_HAND = {  # numbers of a network of 40, 5 and 2 neurons: 210 weights, and what rules have
    ("dp-oja", "shared"): 210 + 2 * 2,
    ("dp-bcm", "neuron"): 210 + 210 + 7,
    ("ndp-bcm", "synapse"): 210 + 210 + 210 + 5 * 5 + 2 * 2 + 7,
    ("backpropamine", "shared"): 210 + 2 + 3 * 7,
    ("backpropamine", "synapse"): 210 + 210 + 3 * 7,
    ("backpropamine-retroactive", "shared"): 210 + 2 + 2 + 3 * 7,
    ("backpropamine-retroactive", "synapse"): 210 + 210 + 210 + 3 * 7,
    ("formula", "shared"): 210 + 10,
    ("formula", "synapse"): 210 + 10 * 210,
}


def test_both_layers_follow_the_same_head():
    config = PlasticConfig(network="head", head_size=3, eta=0.1, weight_limit=0.5)
    network = make_network(config, torch.Generator().manual_seed(1))
    rule = network.rule(0)
    assert rule is network.rule(1) and rule.terms == ["pre", "post", "x20", "y20", "w"]
    assert (rule.scale, rule.low, rule.high) == (0.1, -0.5, 0.5) and rule.first.shape == (3, 6)


@pytest.mark.parametrize(("kind", "coefficients"), BY_HAND)
def test_coefficients_are_shared_or_of_each_synapse(kind, coefficients):
    config = PlasticConfig(network=kind, coefficients=coefficients, hidden_size=5)
    network = make_network(config, torch.Generator().manual_seed(0))
    assert network.num_parameters == BY_HAND[kind, coefficients]
    inputs = torch.from_numpy(draw_trials(np.random.default_rng(0), 2, "noisy", (5,), 1).spikes)
    done = network(inputs)
    (done.output.sum() + done.hidden.sum()).backward()
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in network.parameters())


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="unknown network 'dp'"):
        PlasticNetwork(4, 3, 2, "dp", torch.Generator())
