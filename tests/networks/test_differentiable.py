"""The differentiable network against the simulated one, and its gradients against finite differences."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.networks.differentiable import forward, integrate, layer_init, step
from snn_plasticity_gym.networks.lif import LIFParams, lif_init, lif_step
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.networks.surrogate import spike

CPU = torch.device("cpu")
PARAMS = LIFParams(tau_mem=4.0, v_rest=-65.0, v_reset=-67.0, v_th=-52.0, resistance=10.0)
SIZES = [6, 5, 4, 3]
GAINS = [1.5, 3.5, 4.5]
STEPS, BATCH = 9, 4
SPIKE = partial(spike, surrogate="polynomial", width=8.0)


def random_case(seed: int, axes: int) -> tuple[list[Tensor], Tensor]:
    """Weights with `axes` axes and input spikes under which all layers fire now and then."""
    rng = torch.Generator().manual_seed(seed)
    lead = {2: (), 3: (BATCH,), 4: (STEPS, BATCH)}[axes]
    weights = [
        torch.rand(*lead, *pair, generator=rng, dtype=torch.float64) * 2 - 0.3 for pair in itertools.pairwise(SIZES)
    ]
    return weights, (torch.rand(STEPS, BATCH, SIZES[0], generator=rng) < 0.5).double()


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_dynamics_are_those_of_lif_step(axes: int) -> None:
    weights, inputs = random_case(axes, axes)
    activity = forward(weights, inputs, PARAMS, 0.5, GAINS, SPIKE)
    states = [lif_init(BATCH, size, PARAMS, CPU, torch.float64) for size in SIZES[1:]]
    fired = 0
    for t in range(STEPS):
        spikes = inputs[t]
        for layer, weight in enumerate(weights):
            now = weight[t] if axes == 4 else weight.expand(BATCH, -1, -1)  # (B, n_pre, n_post)
            current = GAINS[layer] / 0.5 * torch.stack([spikes[b] @ now[b] for b in range(BATCH)])
            fires, states[layer] = lif_step(current, states[layer], PARAMS, 0.5)
            assert torch.equal(activity.spikes[layer][t], fires.double())
            silent = ~fires
            torch.testing.assert_close(activity.potentials[layer][t][silent], states[layer].v[silent])
            assert bool((activity.potentials[layer][t][fires] > PARAMS.v_th).all())
            spikes = fires.double()
            fired += int(fires.sum())
    assert 0.1 < fired / (STEPS * BATCH * sum(SIZES[1:])) < 0.9


def test_network_and_differentiable_code_fire_alike() -> None:
    weights, inputs = random_case(11, 3)
    names = ["input", "h1", "h2", "out"]
    populations = [Population(n, s, None if n == "input" else PARAMS) for n, s in zip(names, SIZES, strict=True)]
    projections = [Projection(f"p{k}", names[k], names[k + 1], gain=GAINS[k]) for k in range(3)]
    network = Network(populations, projections, BATCH, 0.5, CPU, dtype=torch.float64)
    for k, weight in enumerate(weights):
        network.weights_of(f"p{k}").copy_(weight)
    activity = forward(weights, inputs, PARAMS, 0.5, GAINS, SPIKE)
    for t in range(STEPS):
        spikes = network.advance({"input": inputs[t].bool()}).spikes
        for k, name in enumerate(names[1:]):
            assert torch.equal(spikes[name].double(), activity.spikes[k][t])


def test_membrane_follows_the_closed_form_of_a_constant_current() -> None:
    params = PARAMS._replace(v_th=math.inf)
    current = torch.full((12, 1, 1), 0.7, dtype=torch.float64)
    leak = 0.5 / params.tau_mem
    expected = [params.v_rest + params.resistance * 0.7 * (1 - (1 - leak) ** n) for n in range(1, 13)]
    np.testing.assert_allclose(integrate(current, params, 0.5).flatten(), expected, rtol=1e-12)


def test_gradient_through_one_neuron_by_hand() -> None:
    """With k = dt/tau, du(t)/dI(t-n) = (1 - k)^n k R, and a reset in between cuts it."""
    params = LIFParams(tau_mem=2.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=1.0)
    current = torch.tensor([0.4, 0.6, 3.0, 0.1], dtype=torch.float64).reshape(4, 1, 1).requires_grad_()
    potentials = integrate(current, params, 1.0).flatten()
    assert potentials.tolist() == pytest.approx([0.2, 0.4, 1.7, 0.05])  # a spike at the third step
    (gradient,) = torch.autograd.grad(potentials[2], current, retain_graph=True)
    assert gradient.flatten().tolist() == pytest.approx([0.125, 0.25, 0.5, 0.0])
    (gradient,) = torch.autograd.grad(potentials[3], current)
    assert gradient.flatten().tolist() == pytest.approx([0.0, 0.0, 0.0, 0.5])


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_gradients_with_a_smooth_spike_function_are_finite_differences(axes: int) -> None:
    weights, inputs = random_case(20 + axes, axes)
    labels = torch.tensor([0, 2, 1, 2])
    activity = forward(weights, inputs, PARAMS, 0.5, GAINS, lambda x: torch.sigmoid(x / 3.0))
    crossed = [u > PARAMS.v_th for u in activity.potentials]
    assert 0.05 < torch.cat([c.flatten() for c in crossed]).double().mean() < 0.95  # resets take place

    def loss(values: list[Tensor]) -> Tensor:
        result = forward(values, inputs, PARAMS, 0.5, GAINS, lambda x: torch.sigmoid(x / 3.0))
        assert all(torch.equal(u > PARAMS.v_th, c) for u, c in zip(result.potentials, crossed, strict=True))
        return F.cross_entropy(5.0 * result.spikes[-1].mean(dim=0), labels, reduction="sum")

    leaves = [weight.clone().requires_grad_() for weight in weights]
    gradients = torch.autograd.grad(loss(leaves), leaves)
    rng, h = np.random.default_rng(0), 1e-6
    for layer, gradient in enumerate(gradients):
        for index in rng.choice(gradient.numel(), size=min(12, gradient.numel()), replace=False):
            ends = []
            for sign in (1, -1):
                moved = [weight.clone() for weight in weights]
                moved[layer].view(-1)[index] += sign * h
                ends.append(loss(moved).item())
            slope = (ends[0] - ends[1]) / (2 * h)
            assert gradient.flatten()[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_options_of_the_neuron_and_missing_gains_are_refused() -> None:
    weights, inputs = random_case(0, 2)
    with pytest.raises(ValueError, match=r"turn off refractory=2.0, theta_plus=0.05, one_spike=True"):
        params = PARAMS._replace(refractory=2.0, theta_plus=0.05, one_spike=True)
        forward(weights, inputs, params, 0.5, GAINS, SPIKE)
    with pytest.raises(ValueError, match="one number per layer: 3, got 2"):
        forward(weights, inputs, PARAMS, 0.5, GAINS[:2], SPIKE)


def test_steps_and_network_fire_alike() -> None:
    weights, inputs = random_case(11, 2)
    names = ["input", "h1", "h2", "out"]
    populations = [Population(n, s, None if n == "input" else PARAMS) for n, s in zip(names, SIZES, strict=True)]
    projections = [Projection(f"p{k}", names[k], names[k + 1], gain=GAINS[k]) for k in range(3)]
    network = Network(populations, projections, BATCH, 0.5, CPU, dtype=torch.float64)
    for k, weight in enumerate(weights):
        network.weights_of(f"p{k}").copy_(weight.expand(BATCH, -1, -1))
    states = [layer_init(BATCH, weight, PARAMS) for weight in weights]
    fired = 0
    for t in range(STEPS):
        spikes, now = network.advance({"input": inputs[t].bool()}).spikes, inputs[t]
        for k, weight in enumerate(weights):
            states[k] = step(states[k], now, weight, None, PARAMS, SPIKE, 0.5, GAINS[k])
            now = states[k].spikes
            assert torch.equal(spikes[names[k + 1]].double(), now)
            fired += int(now.sum())
    assert fired > 20


@pytest.mark.parametrize("neuron", [PARAMS, SRMAlphaParams(v_th=1.0)], ids=["lif", "srm-alpha"])
def test_recurrent_weights_are_those_of_inputs_that_repeat_the_own_spikes(neuron) -> None:
    """LIF feels its spikes of the step before; SRM-alpha responses that begin in the step after."""
    rng, gain = torch.Generator().manual_seed(2), 2.0 if neuron is PARAMS else 1.0
    weights, recurrent = (torch.rand(n, 4, generator=rng, dtype=torch.float64) for n in (6, 4))
    inputs = (torch.rand(40, 3, 6, generator=rng) < 0.3).double()
    states = [layer_init(3, weights, neuron)]
    for now in inputs:
        states.append(step(states[-1], now, weights, None, neuron, SPIKE, gain=gain, recurrent=recurrent))
    whole = torch.cat([weights, recurrent])
    state = layer_init(3, whole, neuron)
    for t, now in enumerate(inputs):
        own = states[t].spikes if neuron is PARAMS else states[t + 1].spikes
        state = step(state, torch.cat([now, own], dim=1), whole, None, neuron, SPIKE, gain=gain)
        torch.testing.assert_close(state.v, states[t + 1].v)
        assert torch.equal(state.spikes, states[t + 1].spikes)
    fired = torch.stack([one.spikes for one in states])
    assert 0.05 < fired.mean() < 0.95
