"""Plastic layers in compiled loops against `step` and autograd: spikes, and gradients of everything.

In double precision Python runs the loops, which is as close a proof of what they compute, and needs no compiling; the
machine code of double precision has its turn in `make slow`. In single precision rounding is seen: 1e-3 of the largest
derivative, since a rule's pushes may nearly cancel.
"""

import itertools

import pytest
import torch
from interpreted import interpret_loops

from snn_plasticity_gym.networks.differentiable import layer_init
from snn_plasticity_gym.networks.gradient_flow import WHOLE, Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules import plastic_sequence
from snn_plasticity_gym.rules.backpropamine import Backpropamine
from snn_plasticity_gym.rules.carried_states import chosen_rows, from_leaves, joined_rows, leaves_of, some_rows
from snn_plasticity_gym.rules.differentiable import DifferentiableHebb
from snn_plasticity_gym.rules.plastic_sequence import carry_on, run_sequence, states_of

NEURON = SRMAlphaParams(v_th=2.0)
STEPS, BATCH, PRE, POST = 45, 3, 7, 5
HELD = Damping(rule=0.1, refractory=0.3, carry=0.05)
GATED = ("simple", "retroactive")  # forms of backpropamine, which is always neuromodulated
EVERY = [
    *itertools.product((None, "oja", "bcm"), (False, True), (False, True), (WHOLE, HELD)),
    *itertools.product(GATED, (True,), (False, True), (WHOLE, HELD)),
]


def layer(form, modulated, recurs, dtype=torch.float32):
    """Inputs and parameters under which neurons fire, and efficacies are clipped."""
    rng = torch.Generator().manual_seed(7)
    weights = (1.5 * torch.randn(PRE, POST, generator=rng)).to(dtype).requires_grad_()
    recurrent = torch.randn(POST, POST, generator=rng).to(dtype).requires_grad_() if recurs else None
    rule = None
    if form in GATED:
        rule = Backpropamine(PRE, POST, form == "retroactive", "synapse", rng, limit=0.4).to(dtype)
        with torch.no_grad():
            rule.gain += 0.8
            rule.fan *= 10.0
            if rule.rate is not None:  # on both sides of where the decay is held
                rule.rate += 0.3 * torch.randn(PRE, POST, generator=rng)
                assert (rule.rate < 0).any() and (rule.rate > 0).any()
    elif form:
        rule = DifferentiableHebb(PRE, POST, form, modulated, "synapse", rng, limit=0.4, tau_threshold=20.0).to(dtype)
        with torch.no_grad():
            rule.gain += 0.8
            rule.rate += 0.3 * torch.randn(PRE, POST, generator=rng)
    inputs = (torch.rand(STEPS, BATCH, PRE, generator=rng) < 0.3).to(dtype).requires_grad_()
    return inputs, weights, rule, NEURON, recurrent


def gradients(spikes, arguments):
    inputs, weights, rule, _, recurrent = arguments
    leaves = [inputs, weights, *([] if recurrent is None else [recurrent]), *(rule.parameters() if rule else ())]
    rng = torch.Generator().manual_seed(1)
    loss = (spikes * torch.randn(spikes.shape, generator=rng).to(spikes.dtype)).sum()
    return torch.autograd.grad(loss, leaves)


def assert_loops_do_what_steps_do(arguments, damping, rounding):
    spikes = run_sequence(*arguments, damping=damping)
    states = list(states_of(*arguments, damping=damping))
    expected = torch.stack([state.spikes for state in states])
    assert spikes.dtype == arguments[0].dtype and torch.equal(spikes, expected) and 0.02 < spikes.mean() < 0.6
    if arguments[2] is not None:
        clipped = torch.stack([state.plastic.efficacy.abs() == arguments[2].limit for state in states])
        assert 0.001 < clipped.double().mean() < 0.5
    assert_gradients(gradients(spikes, arguments), gradients(expected, arguments), rounding)


def assert_gradients(ours, theirs, rounding=1e-3):
    assert len(ours) == len(theirs) > 1
    for mine, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        assert (mine - other).abs().max() / other.abs().max() < rounding


@pytest.mark.parametrize(("form", "modulated", "recurs", "damping"), EVERY)
def test_loops_do_what_steps_do(form, modulated, recurs, damping, monkeypatch):
    interpret_loops(monkeypatch)
    assert_loops_do_what_steps_do(layer(form, modulated, recurs, torch.float64), damping, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "modulated", "recurs", "damping"), EVERY)
def test_their_machine_code_does(form, modulated, recurs, damping):
    assert_loops_do_what_steps_do(layer(form, modulated, recurs, torch.float64), damping, 1e-9)


@pytest.mark.parametrize(("form", "modulated", "recurs", "damping"), EVERY)
def test_in_single_precision_too(form, modulated, recurs, damping):
    assert_loops_do_what_steps_do(layer(form, modulated, recurs), damping, 1e-3)


def test_damping_changes_gradients_and_not_spikes():
    arguments = layer("bcm", True, True)
    whole, held = (run_sequence(*arguments, damping=damping) for damping in (WHOLE, HELD))
    assert torch.equal(whole, held)
    for full, part in zip(gradients(whole, arguments), gradients(held, arguments), strict=True):
        assert (full - part).norm() > 0.01 * full.norm()


def test_threads_share_the_trials():
    arguments = layer("oja", True, False)
    alone = run_sequence(*arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared = run_sequence(*arguments)
        assert torch.equal(alone, shared)
        together = gradients(shared, arguments)
    finally:
        torch.set_num_threads(threads)
    assert_gradients(together, gradients(alone, arguments), 1e-5)  # sums of trials are taken in another order


@pytest.mark.parametrize(("coefficients", "shape"), [("shared", (1, 1)), ("neuron", (1, POST))])
def test_shared_coefficients_get_the_sum_of_gradients(coefficients, shape):
    rng = torch.Generator().manual_seed(2)
    inputs, weights, *_ = layer(None, False, False)
    rule = DifferentiableHebb(PRE, POST, "bcm", False, coefficients, rng)
    arguments = (inputs, weights, rule, NEURON, None)
    expected = torch.stack([state.spikes for state in states_of(*arguments)])
    assert rule.rate.shape == shape
    assert_gradients(gradients(run_sequence(*arguments), arguments), gradients(expected, arguments))


@pytest.mark.parametrize(
    ("damping", "message"), [(Damping(rule=1.5), r"rule must be in \[0, 1\]"), (Damping(carry=0), "carry must be posi")]
)
def test_wrong_damping_is_refused(damping, message):
    with pytest.raises(ValueError, match=message):
        run_sequence(*layer("oja", False, False), damping=damping)


def test_where_loops_cannot_run_steps_do(monkeypatch):
    arguments = layer("bcm", True, False)
    ours = run_sequence(*arguments, damping=HELD)
    monkeypatch.setattr(plastic_sequence, "runs_in_loops", lambda weights: False)
    theirs = run_sequence(*arguments, damping=HELD)
    assert type(ours.grad_fn) is not type(theirs.grad_fn) and torch.equal(ours, theirs)
    assert_gradients(gradients(ours, arguments), gradients(theirs, arguments))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_does_the_same():
    inputs, weights, rule, neuron, recurrent = layer("oja", True, False)
    ours = run_sequence(inputs, weights, rule, neuron, recurrent)
    there = [value.detach().cuda().requires_grad_() for value in (inputs, weights)]
    theirs = run_sequence(*there, rule.cuda(), neuron, recurrent)
    assert torch.equal(ours, theirs.cpu())


def test_what_does_not_fit_together_is_refused():
    inputs, weights, rule, neuron, recurrent = layer("bcm", False, True)
    for wrong in (inputs[:, :, :3], inputs[0], inputs.double(), inputs[:0]):
        with pytest.raises(ValueError, match=r"inputs must be \(steps, trials, 7\) in torch.float32"):
            run_sequence(wrong, weights, rule, neuron)
    with pytest.raises(ValueError, match="one of 7 to 4 neurons"):
        run_sequence(inputs, weights[:, :4], rule, neuron)
    with pytest.raises(ValueError, match=r"recurrent must be \(5, 5\)"):
        run_sequence(inputs, weights, rule, neuron, recurrent[:3])


CARRIED = [(None, False, True), ("oja", True, False), ("bcm", True, True), ("simple", True, False)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["by Python", "compiled"])
@pytest.mark.parametrize(("form", "modulated", "recurs"), [*CARRIED, ("retroactive", True, True)])
def test_a_carried_state_is_one_uncut_sequence(form, modulated, recurs, dtype, monkeypatch):
    """Spikes of the pieces are those of the whole; gradients of a later piece those of `step` from where it begins."""
    exact = dtype == torch.float64
    if exact:
        interpret_loops(monkeypatch)
    arguments = layer(form, modulated, recurs, dtype)
    inputs, weights, rule, *others = arguments
    whole, states = run_sequence(*arguments), list(states_of(*arguments, damping=HELD))
    state, spikes = layer_init(BATCH, weights, NEURON, rule), []
    for piece in inputs.split((20, 1, 24)):
        fired, after = carry_on(state, piece, weights, rule, *others, damping=HELD)
        begun, state = state, after
        spikes.append(fired)
    assert torch.equal(torch.cat(spikes), whole)
    expected_end = states[-1]._replace(v=torch.zeros(BATCH, POST))
    for ours, theirs in zip(leaves_of(state), leaves_of(expected_end), strict=True):
        rounding = 1e-12 if exact else 1e-4  # by which steps in single precision are off those in double
        assert not ours.requires_grad and torch.allclose(ours.double(), theirs.double(), atol=rounding)
    if form:
        assert begun.plastic.efficacy.abs().max() > 0.1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plastic_sequence, "runs_in_loops", lambda weights: False)
        expected, last = carry_on(begun, inputs[-24:], weights, rule, *others, damping=HELD)
    assert torch.equal(expected, spikes[-1]) and not any(leaf.requires_grad for leaf in leaves_of(last))
    assert_gradients(gradients(spikes[-1], arguments), gradients(expected, arguments), 1e-9 if exact else 1e-3)


def test_a_state_of_other_trials_is_refused():
    inputs, weights, rule, *others = layer("bcm", True, True)
    with pytest.raises(ValueError, match="must be one of 3 trials, as inputs, got 2"):
        carry_on(layer_init(2, weights, NEURON, rule), inputs, weights, rule, *others)


def test_rows_of_states_are_chosen_and_joined():
    inputs, weights, rule, *others = layer("bcm", True, True)
    rest = layer_init(BATCH, weights, NEURON, rule)
    _, lived = carry_on(rest, inputs, weights, rule, *others)
    mixed = chosen_rows(torch.tensor([True, False, True]), lived, rest)
    for one, new, old in zip(leaves_of(mixed), leaves_of(lived), leaves_of(rest), strict=True):
        assert torch.equal(one[::2], new[::2]) and torch.equal(one[1], old[1])
    assert torch.equal(some_rows(mixed, slice(1, 2)).plastic.efficacy, mixed.plastic.efficacy[1:2])
    assert all(
        torch.equal(a, b) for a, b in zip(leaves_of(from_leaves(leaves_of(mixed), rest)), leaves_of(mixed), strict=True)
    )
    both = joined_rows([mixed, rest])
    assert both.plastic.efficacy.shape == (2 * BATCH, PRE, POST)
    assert torch.equal(both.post.level[:BATCH], mixed.post.level)
