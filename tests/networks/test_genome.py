"""Weights as a vector: what stands where, limits, and weights that are drawn alike."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.genome import Genome, correlation_root
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity
from snn_plasticity_gym.networks.recurrent import INPUT, between_groups, controller


def network(num_networks=2, inhibition=None):
    params = LIFParams(tau_mem=20.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=20.0, refractory=2.0)
    populations, projections = controller(
        [8, 3, 4], params, (-1.0, 1.0), Plasticity(0, 0.1, -5.0, 5.0), recurrent=True, inhibition=inhibition
    )
    return Network(populations, projections, num_networks, 1.0, torch.device("cpu"))


def genome(own, units=(1.0,), smoothness=0.0, limits=(-5.0, 5.0)):
    return Genome(own, limits, units, INPUT, 4, smoothness)


def test_every_weight_has_a_coordinate_and_fixed_ones_have_none():
    groups = np.repeat(np.eye(2, dtype=bool), 2, axis=1)
    own = network(inhibition=between_groups(groups, 0.5))
    own.grow(0, np.random.default_rng(0)), own.grow(1, np.random.default_rng(1))
    before = own.weights_of("inhibition").clone()
    coding = genome(own, units=(0.5, 2.0, 1.0))
    assert coding.size == 8 * 3 + 3 * 3 + 3 * 4
    standing = np.stack([coding.coordinates(row) for row in range(2)])
    kept = own.weights.clone()
    own.weights[: own.offsets["inhibition"]] = 0.0
    coding.write(standing)
    torch.testing.assert_close(own.weights, kept)
    assert torch.equal(own.weights_of("inhibition"), before)
    drawn = coding.weights(standing[1])
    assert all(torch.allclose(own.weights_of(name)[1], weights) for name, weights in drawn.items())


def test_weights_have_limits_and_no_neuron_reaches_itself():
    own = network()
    coding = genome(own, units=(2.0,), limits=(-1.0, 3.0))
    coding.write(np.full((2, coding.size), 7.0))
    assert own.weights_of("input_to_hidden_1").max() == 3.0
    assert (own.weights_of("hidden_1_to_hidden_1")[0] == 3.0 * (1.0 - torch.eye(3))).all()
    low, high = coding.limits()
    assert (low == -0.5).all() and (high == 1.5).all() and len(low) == coding.size


def test_neighbouring_fields_of_one_observation_are_alike():
    """Over many draws weights correlate as was asked for; those of two observations do not."""
    own = network(num_networks=4000)
    coding = genome(own, smoothness=1.5, limits=(-50.0, 50.0))
    coding.write(np.random.default_rng(0).standard_normal((4000, coding.size)))
    found = np.corrcoef(own.weights_of("input_to_hidden_1")[:, :, 0].T.numpy())  # (8, 8)
    apart = np.subtract.outer(np.arange(4), np.arange(4))
    expected = np.exp(-0.5 * (apart / 1.5) ** 2)
    np.testing.assert_allclose(found[:4, :4], expected, atol=0.06)
    np.testing.assert_allclose(found[4:, 4:], expected, atol=0.06)
    np.testing.assert_allclose(found[:4, 4:], 0.0, atol=0.06)


def test_the_root_of_the_correlation():
    root = correlation_root(20, 4.0)
    np.testing.assert_allclose((root @ root.T).diagonal(), 1.0, atol=1e-6)


def test_what_does_not_fit_is_refused_in_one_line():
    own = network()
    with pytest.raises(ConfigError, match="weight_unit must be one number, or 3 of them"):
        genome(own, units=(1.0, 2.0))
    with pytest.raises(ConfigError, match="equally many neurons"):
        Genome(own, (-1.0, 1.0), (1.0,), INPUT, 3, 2.0)
    with pytest.raises(ConfigError, match="set smoothness to 0"):
        genome(own, smoothness=2.0).coordinates(0)
