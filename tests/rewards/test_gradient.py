"""The backward pass by hand against autograd with a leaf for every weight of every step, and finite differences."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_plasticity_gym.networks.differentiable import Activity, forward
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.surrogate import SURROGATES, Curve, derivative, spike
from snn_plasticity_gym.rewards.gradient import Adjoint, alignment_reward, loss_and_output_gradient

PARAMS = LIFParams(tau_mem=4.0, v_rest=-65.0, v_reset=-67.0, v_th=-52.0, resistance=10.0)
SIZES = [7, 6, 5, 4]
GAINS = [1.5, 3.5, 4.5]
STEPS, BATCH, DT, ALPHA = 10, 4, 0.5, 6.0


def random_case(seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights that differ from lifetime to lifetime and step to step (T, B, n_pre, n_post), inputs, labels."""
    rng = torch.Generator().manual_seed(seed)
    weights = [
        torch.rand(STEPS, BATCH, *pair, generator=rng, dtype=torch.float64) * 2 - 0.4
        for pair in itertools.pairwise(SIZES)
    ]
    inputs = (torch.rand(STEPS, BATCH, SIZES[0], generator=rng) < 0.5).double()
    labels = torch.randint(SIZES[-1], (BATCH,), generator=rng)
    return weights, inputs, labels


def teach(weights: Sequence[Tensor], activity: Activity, labels: Tensor, curve: Curve) -> list[Tensor]:
    """Walk back and return delta of each layer, (T, B, N)."""
    _, output_gradient = loss_and_output_gradient(activity.spikes[-1].sum(dim=0), labels, ALPHA, STEPS)
    adjoint = Adjoint(PARAMS, DT, GAINS, curve)
    steps = []
    for t in reversed(range(STEPS)):
        now = [weight[t] if weight.ndim == 4 else weight for weight in weights]
        steps.append(adjoint.step([u[t] for u in activity.potentials], now, output_gradient))
    return [torch.stack(layer[::-1]) for layer in zip(*steps, strict=True)]


def outer(activity: Activity, inputs: Tensor, deltas: Sequence[Tensor]) -> list[Tensor]:
    """g_ij(t) = s_i(t) delta_j(t): (T, B, n_pre, n_post) of each layer."""
    before = [inputs, *activity.spikes[:-1]]
    return [s.unsqueeze(3) * d.unsqueeze(2) for s, d in zip(before, deltas, strict=True)]


def total_loss(activity: Activity, labels: Tensor) -> Tensor:
    return F.cross_entropy(ALPHA * activity.spikes[-1].mean(dim=0), labels, reduction="sum")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(SURROGATES))
def test_equals_autograd_with_a_leaf_for_every_weight_of_every_step(name: str, seed: int) -> None:
    weights, inputs, labels = random_case(seed)
    width = 6.0
    leaves = [weight.requires_grad_() for weight in weights]
    activity = forward(leaves, inputs, PARAMS, DT, GAINS, partial(spike, surrogate=name, width=width))
    rates = [s.mean().item() for s in activity.spikes]
    assert all(0.05 < rate < 0.95 for rate in rates)  # every layer spikes and is reset
    expected = torch.autograd.grad(total_loss(activity, labels), leaves)
    found = outer(activity, inputs, teach(weights, activity, labels, derivative(name, width)))
    for gradient, oracle in zip(found, expected, strict=True):
        assert oracle.abs().max() > 1e-4
        torch.testing.assert_close(gradient, oracle, rtol=1e-6, atol=1e-12)


def test_the_sum_over_lifetimes_and_steps_is_the_gradient_of_shared_weights() -> None:
    weights, inputs, labels = random_case(5)
    shared = [weight[0, 0].clone().requires_grad_() for weight in weights]
    activity = forward(shared, inputs, PARAMS, DT, GAINS, partial(spike, surrogate="gaussian", width=6.0))
    expected = torch.autograd.grad(total_loss(activity, labels), shared)
    found = outer(activity, inputs, teach(shared, activity, labels, derivative("gaussian", 6.0)))
    for gradient, oracle in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient.sum(dim=(0, 1)), oracle, rtol=1e-6, atol=1e-12)


SMOOTH: list[tuple[Callable[[Tensor], Tensor], Curve]] = [
    (lambda x: torch.sigmoid(x / 3.0), derivative("sigmoid", 3.0)),
    (lambda x: 0.5 * (1 + torch.erf(x / (4.0 * math.sqrt(2)))), derivative("gaussian", 4.0)),
]


@pytest.mark.parametrize(("spike_fn", "curve"), SMOOTH, ids=["sigmoid", "gaussian"])
def test_equals_finite_differences_where_spikes_are_smooth(spike_fn: Callable[[Tensor], Tensor], curve: Curve) -> None:
    weights, inputs, labels = random_case(8)
    activity = forward(weights, inputs, PARAMS, DT, GAINS, spike_fn)
    resets = torch.cat([(u > PARAMS.v_th).flatten() for u in activity.potentials]).double()
    assert 0.05 < resets.mean() < 0.95
    found = outer(activity, inputs, teach(weights, activity, labels, curve))
    rng, h = np.random.default_rng(1), 1e-6
    for layer, gradient in enumerate(found):
        for index in rng.choice(gradient.numel(), size=25, replace=False):
            ends = []
            for sign in (1, -1):
                moved = [weight.clone() for weight in weights]
                moved[layer].view(-1)[index] += sign * h
                ends.append(total_loss(forward(moved, inputs, PARAMS, DT, GAINS, spike_fn), labels).item())
            slope = (ends[0] - ends[1]) / (2 * h)
            assert gradient.flatten()[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_lifetimes_do_not_mix() -> None:
    """A batch of four equals four batches of one."""
    weights, inputs, labels = random_case(13)
    spike_fn, curve = partial(spike, surrogate="fast_sigmoid", width=5.0), derivative("fast_sigmoid", 5.0)
    together = teach(weights, forward(weights, inputs, PARAMS, DT, GAINS, spike_fn), labels, curve)
    for b in range(BATCH):
        one = slice(b, b + 1)
        own = [weight[:, one] for weight in weights]
        alone = teach(own, forward(own, inputs[:, one], PARAMS, DT, GAINS, spike_fn), labels[one], curve)
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[:, one], part, rtol=1e-12, atol=1e-15)


def test_each_step_uses_its_own_weights() -> None:
    """Weights of other steps would give another answer: the last layer's at step t scale the error passed down at t."""
    weights, inputs, labels = random_case(17)
    activity = forward(weights, inputs, PARAMS, DT, GAINS, partial(spike, surrogate="sigmoid", width=6.0))
    curve = derivative("sigmoid", 6.0)
    right = teach(weights, activity, labels, curve)
    frozen = teach([weight[0] for weight in weights], activity, labels, curve)
    assert torch.equal(right[-1], frozen[-1])
    assert (right[0] - frozen[0]).abs().max() > 0.1 * right[0].abs().max()


def test_one_neuron_by_hand() -> None:
    """T = 2, one neuron, one class beside it: every factor written out."""
    params = LIFParams(tau_mem=2.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=3.0)
    adjoint = Adjoint(params, 1.0, [0.5], lambda x: torch.full_like(x, 0.25))
    error, unused = torch.tensor([[2.0]]), torch.empty(1, 1, 1)
    # dL/du = 2 * 0.25; delta = gain k R dL/du = 0.5 * 0.5 * 3 * 0.5
    assert adjoint.step([torch.tensor([[0.8]])], [unused], error)[0].item() == pytest.approx(0.375)
    # silent: dL/du = 2 * 0.25 + (1 - k) * 0.5 = 0.75
    assert adjoint.step([torch.tensor([[0.3]])], [unused], error)[0].item() == pytest.approx(0.5625)
    # it fires: what comes from later is cut
    assert adjoint.step([torch.tensor([[1.4]])], [unused], error)[0].item() == pytest.approx(0.375)


def test_silent_neurons_below_the_curve_pass_the_gradient_back_in_time_only() -> None:
    params = LIFParams(tau_mem=4.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=1.0)
    adjoint = Adjoint(params, 1.0, [4.0], derivative("rectangular", 0.2))
    near, far = torch.tensor([[0.95]]), torch.tensor([[0.2]])
    weights, error = [torch.empty(1, 1)], torch.tensor([[1.0]])
    deltas = [adjoint.step([u], weights, error)[0].item() for u in (near, far, far)]
    assert deltas == pytest.approx([5.0, 0.75 * 5.0, 0.75**2 * 5.0])


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_loss_and_its_gradient_are_those_of_cross_entropy(dtype: torch.dtype) -> None:
    counts = torch.tensor([[0, 3, 1, 0], [7, 0, 0, 2], [0, 0, 0, 0]])
    labels = torch.tensor([1, 3, 2])
    loss, gradient = loss_and_output_gradient(counts.to(dtype), labels, 5.0, 8)
    leaf = counts.double().requires_grad_()  # a spike in any step adds one to the count
    expected = F.cross_entropy(5.0 * leaf / 8, labels, reduction="none")
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.int64 else {"rtol": 1e-12, "atol": 1e-15}
    torch.testing.assert_close(loss.double(), expected.detach(), **tolerance)
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    torch.testing.assert_close(gradient.double(), slope, **tolerance)
    assert loss[2].item() == pytest.approx(math.log(4))
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(3, dtype=gradient.dtype), rtol=0, atol=1e-6)
    assert bool((gradient[torch.arange(3), labels] < 0).all())


@settings(max_examples=50)
@given(g=st.floats(-10, 10), dw=st.floats(-1, 1), penalty=st.floats(0, 5))
def test_reward_of_an_event(g: float, dw: float, penalty: float) -> None:
    reward = alignment_reward(torch.tensor([g, 0.0]).double(), torch.tensor([dw, dw]).double(), penalty)
    expected = [-g * dw - penalty * dw**2, -penalty * dw**2]
    np.testing.assert_allclose(reward.tolist(), expected, rtol=1e-5, atol=1e-6)


def test_the_best_weight_change_is_the_gradient_over_twice_the_penalty() -> None:
    changes = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    rewards = alignment_reward(torch.full_like(changes, 0.8), changes, 0.5)
    assert changes[rewards.argmax()].item() == pytest.approx(-0.8, abs=1e-3)
    assert rewards.max().item() == pytest.approx(0.8**2 / 2, abs=1e-6)


def test_no_autograd_graph_is_built() -> None:
    weights, inputs, labels = random_case(2)
    leaves = [weight.requires_grad_() for weight in weights]
    activity = forward(leaves, inputs, PARAMS, DT, GAINS, partial(spike, surrogate="sigmoid", width=6.0))
    assert not any(delta.requires_grad for delta in teach(leaves, activity, labels, derivative("sigmoid", 6.0)))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"turn off theta_plus=0.05"):
        Adjoint(PARAMS._replace(theta_plus=0.05), DT, GAINS, derivative("sigmoid", 1.0))
    adjoint = Adjoint(PARAMS, DT, GAINS, derivative("sigmoid", 1.0))
    with pytest.raises(ValueError, match="one tensor per layer: 3, got 2 and 3"):
        adjoint.step([torch.zeros(1, 1)] * 2, [torch.zeros(1, 1)] * 3, torch.zeros(1, 1))
