"""Differentiable Hebbian rules against a loop over synapses, and gradients through a lifetime by finite differences."""

import itertools
import math

import pytest
import torch
from plastic_rules import assert_gradients_through_a_lifetime

from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable import COEFFICIENTS, FORMS, DifferentiableHebb

EVERY = list(itertools.product(FORMS, (False, True), COEFFICIENTS))
LIF = LIFParams(tau_mem=5.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=5.0)


def make(form: str, neuromodulated: bool, coefficients: str) -> DifferentiableHebb:
    rng = torch.Generator().manual_seed(3)
    rule = DifferentiableHebb(3, 2, form, neuromodulated, coefficients, rng, limit=0.4, tau_threshold=20.0).double()
    with torch.no_grad():
        rule.gain += 0.8
        rule.rate += 0.1 * torch.randn(rule.rate.shape, generator=rng)
    return rule


@pytest.mark.parametrize(("form", "neuromodulated", "coefficients"), EVERY)
def test_updates_are_the_equations_synapse_by_synapse(form: str, neuromodulated: bool, coefficients: str) -> None:
    rule = make(form, neuromodulated, coefficients)
    rng = torch.Generator().manual_seed(1)
    state = rule.initial(torch.zeros(3, 2).double(), 1)
    efficacy, phi, limited = [[0.0] * 2 for _ in range(3)], [0.0] * 2, 0
    rate = rule.rate.expand(3, 2).tolist()
    keep = math.exp(-1 / 20.0)
    for _ in range(40):
        x, y = (2 * torch.rand(1, n, generator=rng, dtype=torch.float64) for n in (3, 2))
        state = rule.before_spikes(state, x, y)
        for j in range(2):
            now = y[0, j].item()
            m = 1.0
            if rule.bias is not None:
                m = rule.bias[j].item() + sum(y[0, k].item() * rule.projection[k, j].item() for k in range(2))
            phi[j] = keep * phi[j] + (1 - keep) * now**2
            for i in range(3):
                eta, pre = rate[i][j], x[0, i].item()
                if form == "oja":
                    value = efficacy[i][j] * (1 - min(max(eta * m * now**2, 0), 1)) + eta * m * pre * now
                else:
                    value = efficacy[i][j] + eta * m * pre * now * (now - phi[j])
                efficacy[i][j] = min(max(value, -0.4), 0.4)
                limited += efficacy[i][j] != value
        torch.testing.assert_close(state.efficacy[0], torch.tensor(efficacy, dtype=torch.float64))
    assert 0 < limited < 240


@pytest.mark.parametrize("neuron", [LIF, SRMAlphaParams()], ids=["lif", "srm-alpha"])
@pytest.mark.parametrize(("form", "neuromodulated", "coefficients"), EVERY)
def test_gradients_through_a_lifetime(form, neuromodulated, coefficients, neuron) -> None:
    """With a smooth function for spikes; whether LIF is reset is a constant almost everywhere."""
    rule = make(form, neuromodulated, coefficients)
    rng = torch.Generator().manual_seed(5)
    inputs = (torch.rand(12, 2, 3, generator=rng) < 0.5).double()
    scale = 0.05 if neuron is LIF else 4.0
    weights = (scale * torch.rand(3, 2, generator=rng, dtype=torch.float64)).requires_grad_()
    assert_gradients_through_a_lifetime(rule, neuron, weights, inputs)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="bmc"):
        DifferentiableHebb(3, 2, "bmc")
    with pytest.raises(ValueError, match="coefficients"):
        DifferentiableHebb(3, 2, "oja", coefficients="layer")
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        DifferentiableHebb(3, 2, "oja", limit=0.0)
