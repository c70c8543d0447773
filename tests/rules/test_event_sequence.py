"""Layers whose weights follow a formula or a policy head: compiled loops against `step` and autograd.

By Python in double precision, and compiled in single precision, as in `test_plastic_sequence.py`.
"""

import pytest
import torch
from grids import grid
from interpreted import interpret_loops

from snn_plasticity_gym.networks.gradient_flow import WHOLE, Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules import plastic_sequence
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.plastic_sequence import run_sequence, states_of

NEURON = SRMAlphaParams(v_th=2.0)
STEPS, BATCH, PRE, POST = 45, 3, 7, 5
HELD = Damping(rule=0.1, refractory=0.3, carry=0.05)
TERMS = {
    "hebb": [("post", "x20")],
    "usual": [
        ("post",),
        ("pre", "post"),
        ("post", "x20"),
        ("pre", "y20"),
        ("w",),
        ("post", "w"),
        ("pre", "y20", "w"),
    ],
    "all": [("pre",), ("x5", "y20"), ("x5", "x5", "w", "w"), ("y20", "y20", "w"), ("post", "xn", "w", "w", "w")],
}
HEADS = {"head": (20.0,), "head of two traces": (5.0, 20.0)}  # time constants
AXES = (*TERMS, *HEADS), (0.3, 1.0), (WHOLE, HELD)
NAMES = (*TERMS, *HEADS), ("0.3", "1.0"), ("whole", "held")


def layer(terms, charge=1.0, dtype=torch.float32):
    """Inputs and parameters under which neurons fire, and weights come to their limits."""
    rng = torch.Generator().manual_seed(7)
    weights = ((0.4 + torch.randn(PRE, POST, generator=rng)) / charge).to(dtype).requires_grad_()
    limits = -1.5 / charge, 1.0 / charge
    if terms in HEADS:
        rule = DifferentiableHead(4, 0.2, *limits, taus=HEADS[terms], generator=rng).to(dtype)
        with torch.no_grad():
            rule.first[:, 0] += 0.3 * torch.randn(4, generator=rng)
            rule.last += torch.randn(5, generator=rng)
            rule.last[0] = 0.2
    else:
        rule = DifferentiableFormula(TERMS[terms], 0.2, *limits).to(dtype)
        with torch.no_grad():
            rule.coefficients += 0.5 * torch.randn(len(rule.coefficients), generator=rng)
            rule.coefficients[0] = -0.3
    inputs = (torch.rand(STEPS, BATCH, PRE, generator=rng) < 0.3).to(dtype).requires_grad_()
    return inputs, weights, rule, NEURON


def gradients(spikes, arguments):
    inputs, weights, rule, _ = arguments
    rng = torch.Generator().manual_seed(1)
    loss = (spikes * torch.randn(spikes.shape, generator=rng).to(spikes.dtype)).sum()
    return torch.autograd.grad(loss, [inputs, weights, *rule.parameters()])


def assert_loops_do_what_steps_do(arguments, charge, damping, rounding):
    spikes = run_sequence(*arguments, damping=damping, charge=charge)
    states = list(states_of(*arguments, damping=damping, charge=charge))
    expected = torch.stack([state.spikes for state in states])
    assert spikes.dtype == arguments[0].dtype and torch.equal(spikes, expected) and 0.002 < spikes.mean() < 0.9
    weights = torch.stack([state.plastic.weights for state in states])
    limits = (weights == arguments[2].low) | (weights == arguments[2].high)
    assert 0.001 < limits.double().mean() < 0.9 and (weights[0] != weights[-1]).double().mean() > 0.5
    assert_gradients(gradients(spikes, arguments), gradients(expected, arguments), rounding)


def assert_gradients(ours, theirs, rounding=1e-3):
    for mine, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        assert (mine - other).abs().max() / other.abs().max() < rounding


@pytest.mark.parametrize(("terms", "charge", "damping"), grid(*AXES, ids=NAMES))
def test_loops_do_what_steps_do(terms, charge, damping, monkeypatch):
    interpret_loops(monkeypatch)
    assert_loops_do_what_steps_do(layer(terms, charge, torch.float64), charge, damping, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("terms", "charge", "damping"), grid(*AXES, ids=NAMES))
def test_their_machine_code_does(terms, charge, damping):
    assert_loops_do_what_steps_do(layer(terms, charge, torch.float64), charge, damping, 1e-9)


@pytest.mark.parametrize(("terms", "charge", "damping"), grid(*AXES, ids=NAMES))
def test_in_single_precision_too(terms, charge, damping):
    """Here tanh is a quotient of polynomials, 4e-7 off."""
    assert_loops_do_what_steps_do(layer(terms, charge), charge, damping, 1e-3)


def test_damping_changes_gradients_and_not_spikes():
    arguments = layer("usual")
    whole, held = (run_sequence(*arguments, damping=damping) for damping in (WHOLE, HELD))
    assert torch.equal(whole, held)
    for full, part in zip(gradients(whole, arguments), gradients(held, arguments), strict=True):
        assert (full - part).norm() > 0.01 * full.norm()


@pytest.mark.parametrize("terms", ["usual", "head"])
def test_where_loops_cannot_run_steps_do(terms, monkeypatch):
    arguments = layer(terms)
    ours = run_sequence(*arguments, damping=HELD)
    monkeypatch.setattr(plastic_sequence, "runs_in_loops", lambda weights: False)
    theirs = run_sequence(*arguments, damping=HELD)
    assert type(ours.grad_fn) is not type(theirs.grad_fn) and torch.equal(ours, theirs)
    assert_gradients(gradients(ours, arguments), gradients(theirs, arguments))


def test_beside_recurrent_weights_steps_do():
    """Which loops do not know; without effect where they are 0."""
    arguments = layer("usual")
    ours = run_sequence(*arguments, damping=HELD)
    still = run_sequence(*arguments, torch.zeros(POST, POST), damping=HELD)
    assert torch.equal(ours, still)
    assert not torch.equal(ours, run_sequence(*arguments, torch.ones(POST, POST)))


def test_coefficients_of_each_synapse():
    """Alike they do what shared ones do, and their gradients sum up to those; unlike they do something else."""
    arguments = layer("usual")
    inputs, weights, shared, neuron = arguments
    own = DifferentiableFormula(TERMS["usual"], shared.scale, shared.low, shared.high, shape=(PRE, POST))
    with torch.no_grad():
        own.coefficients += shared.coefficients[:, None, None]
    spikes, expected = (run_sequence(inputs, weights, rule, neuron, damping=HELD) for rule in (own, shared))
    assert torch.equal(spikes, expected)
    *others, by_own = gradients(spikes, (inputs, weights, own, neuron))
    *theirs, by_shared = gradients(expected, arguments)
    assert_gradients([*others, by_own.sum(dim=(1, 2))], [*theirs, by_shared])
    with torch.no_grad():
        own.coefficients += torch.randn(own.coefficients.shape, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(run_sequence(inputs, weights, own, neuron), expected)
    with pytest.raises(ValueError, match=r"one of 7 to 4 neurons, as the weights, got \(7, 5\)"):
        run_sequence(inputs, weights[:, :4], own, neuron)


def test_what_are_no_spikes_is_refused():
    inputs, *others = layer("hebb")
    with pytest.raises(ValueError, match="inputs must be 0 or 1; the size of a spike is charge"):
        run_sequence(0.1 * inputs, *others)
