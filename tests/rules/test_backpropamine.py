"""Backpropamine against a loop over synapses, and its gradients through a lifetime by finite differences."""

import itertools
import math

import pytest
import torch
from plastic_rules import assert_gradients_through_a_lifetime

from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.backpropamine import Backpropamine
from snn_plasticity_gym.rules.differentiable import COEFFICIENTS

EVERY = list(itertools.product((False, True), COEFFICIENTS))


def make(retroactive: bool, coefficients: str) -> Backpropamine:
    rng = torch.Generator().manual_seed(3)
    rule = Backpropamine(3, 2, retroactive, coefficients, rng, limit=0.4).double()
    with torch.no_grad():
        rule.gain += 0.8
        rule.fan += torch.tensor([0.4, -0.4])
        if rule.rate is not None:
            rule.rate += 0.05 * torch.randn(rule.rate.shape, generator=rng)
    return rule


@pytest.mark.parametrize(("retroactive", "coefficients"), EVERY)
def test_updates_are_the_equations_synapse_by_synapse(retroactive: bool, coefficients: str) -> None:
    rule = make(retroactive, coefficients)
    rng = torch.Generator().manual_seed(1)
    state = rule.initial(torch.zeros(3, 2).double(), 1)
    efficacy, trace, limited = ([[0.0] * 2 for _ in range(3)] for _ in range(3))
    rate = None if rule.rate is None else rule.rate.expand(3, 2).tolist()
    for _ in range(40):
        x, y = (2 * torch.rand(1, n, generator=rng, dtype=torch.float64) for n in (3, 2))
        state = rule.before_spikes(state, x, y)
        signal = math.tanh(sum(y[0, k].item() * rule.projection[k, 0].item() for k in range(2)))
        for i, j in itertools.product(range(3), range(2)):
            m, pair = rule.bias[j].item() + rule.fan[j].item() * signal, x[0, i].item() * y[0, j].item()
            value = efficacy[i][j] + m * (pair if rate is None else trace[i][j])
            efficacy[i][j] = min(max(value, -0.4), 0.4)
            limited[i][j] += efficacy[i][j] != value
            if rate is not None:
                trace[i][j] = (1 - rate[i][j]) * trace[i][j] + rate[i][j] * pair
        torch.testing.assert_close(state.efficacy[0], torch.tensor(efficacy, dtype=torch.float64))
    assert 0 < sum(map(sum, limited)) < 240


@pytest.mark.parametrize(("retroactive", "coefficients"), EVERY)
def test_gradients_through_a_lifetime(retroactive, coefficients) -> None:
    """With a smooth function for spikes."""
    rule, neuron = make(retroactive, coefficients), SRMAlphaParams()
    rng = torch.Generator().manual_seed(5)
    inputs = (torch.rand(12, 2, 3, generator=rng) < 0.5).double()
    weights = (4 * torch.rand(3, 2, generator=rng, dtype=torch.float64)).requires_grad_()
    assert len(list(rule.parameters())) == 4 + retroactive
    assert_gradients_through_a_lifetime(rule, neuron, weights, inputs)


def test_a_trace_lets_the_modulator_act_afterwards() -> None:
    """The post neuron is silent once the modulator comes on: Hebb's rule changes nothing any more, its trace does."""
    for retroactive in (False, True):
        rule = Backpropamine(1, 2, retroactive)
        with torch.no_grad():
            rule.bias.zero_()
            rule.projection.copy_(torch.tensor([[0.0], [1.0]]))  # the second neuron is the modulator
            rule.fan.fill_(1.0)
        state = rule.initial(torch.zeros(1, 2), 1)
        for _ in range(5):
            state = rule.before_spikes(state, torch.ones(1, 1), torch.tensor([[1.0, 0.0]]))
        assert not state.efficacy.any()
        state = rule.before_spikes(state, torch.zeros(1, 1), torch.tensor([[0.0, 1.0]]))
        expected = math.tanh(1.0) * (1 - 0.9**5) if retroactive else 0.0
        torch.testing.assert_close(state.efficacy[0, 0], torch.tensor([expected, 0.0]))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="unknown coefficients 'layer'"):
        Backpropamine(3, 2, coefficients="layer")
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        Backpropamine(3, 2, limit=0.0)
