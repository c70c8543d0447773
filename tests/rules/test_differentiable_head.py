"""Policy heads through which gradients flow: the engine's own changes of weights, and derivatives by differences."""

import itertools

import pytest
import torch
from lives import FEEDFORWARD
from plastic_rules import assert_derivatives_are_differences
from torch.autograd import gradcheck

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.plastic_network import as_rule
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead

STEPS, ETA = 60, 0.02


def made(taus=(20.0,), dtype=torch.float32, scale=ETA, low=-0.5, high=0.5, dt=1.0, seed=1):
    """A head that matters."""
    rng = torch.Generator().manual_seed(seed)
    rule = DifferentiableHead(5, scale, low, high, taus, dt, rng).to(dtype)
    with torch.no_grad():
        rule.first[:, 0] += 0.3 * torch.randn(5, generator=rng)
        rule.last += 0.6 * torch.randn(6, generator=rng)
    return rule


def live(rule, pre, post, weights):
    """Weights after every step, (T, B, n_pre, n_post), of spikes (T, B, n_pre) and (T, B, n_post)."""
    state, seen = rule.initial(weights[0], len(weights))._replace(weights=weights), []
    for before, after in zip(pre, post, strict=True):
        state = rule.after_spikes(state, before, after)
        seen.append(state.weights)
    return torch.stack(seen)


@pytest.mark.parametrize(("taus", "dt"), [((20.0,), 1.0), ((5.0, 2.5), 2.0)])
def test_weights_are_those_of_the_engine(taus, dt, tmp_path):
    """The engine finds events, reads histories bit by bit, and answers by the rule file of the same head."""
    rule = made(taus, dt=dt)
    network = as_rule(rule)
    assert not network.architecture.is_formula and network.formulas() == []
    save_rule(tmp_path, network, describe(network.architecture, history_length=STEPS))
    config = {"num_steps": STEPS, "history_length": STEPS, "dt": dt, "eta": ETA, "w_min": -0.5, "w_max": 0.5}
    engine = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs=2, **(FEEDFORWARD | config)).engine
    file = load_rule(tmp_path).frozen(STEPS)
    engine.start_lifetimes([0, 1], [3, 4])
    engine.begin([0, 1])
    projections = engine.network.projections
    kept = {p.name: [engine.network.weights_of(p.name).clone()] for p in projections}
    for _ in range(STEPS):
        events = engine.advance()
        engine.write(events, file(events))
        engine.settle()
        for name, weights in kept.items():
            weights.append(engine.network.weights_of(name).clone())
    moved = fired = 0
    for p in projections:
        pre, post = (engine.raster[name].transpose(0, 1).float() for name in (p.source, p.target))  # (T, B, N)
        first, *expected = kept[p.name]
        ours = live(rule, pre, post, first).detach()
        assert (ours - torch.stack(expected)).abs().max() < 1e-6
        moved += int((ours[-1] != first).sum())
        fired += int(post.sum())
    assert moved > 1000 and fired > 100


def test_derivatives_are_those_of_finite_differences():
    """Of everything, at spikes between 0 and 1, where the head is a function of them that has a derivative."""
    rng = torch.Generator().manual_seed(3)
    rule = made((5.0, 20.0), torch.float64, scale=0.2, low=-4.0, high=4.0)
    spikes = [torch.rand(4, 2, size, generator=rng, dtype=torch.float64) for size in (3, 2)]
    weights = torch.randn(2, 3, 2, generator=rng, dtype=torch.float64)
    given = [values.requires_grad_() for values in (*spikes, weights)]
    assert gradcheck(lambda pre, post, first, *_: live(rule, pre, post, first)[-1], (*given, *rule.parameters()))


@pytest.mark.parametrize("kinds", list(itertools.product((0.0, 1.0), repeat=2)))
def test_the_derivative_by_a_spike_is_the_difference_that_it_makes(kinds):
    rule = made(dtype=torch.float64, scale=0.5, seed=2)
    traces = [torch.tensor([[[7.0]]], dtype=torch.float64), torch.tensor([[[4.0]]], dtype=torch.float64)]
    state = rule.initial(torch.tensor([[0.1]], dtype=torch.float64), 1)._replace(pre=traces[0], post=traces[1])
    assert_derivatives_are_differences(rule, state, kinds)


def test_a_fresh_head_hardly_changes_anything():
    rule = DifferentiableHead(8, 1.0, -1.0, 1.0, generator=torch.Generator().manual_seed(0))
    state = rule.initial(torch.rand(4, 3), 2)
    state = state._replace(pre=torch.full_like(state.pre, 10.0), post=torch.full_like(state.post, 5.0))
    for kind in ((True, False), (False, True), (True, True)):
        answers = rule.answer(state, *kind)
        assert answers.shape == (2, 4, 3) and 0 < answers.abs().max() < 0.3


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        DifferentiableHead(0, 0.1, -1.0, 1.0)
    with pytest.raises(ValueError, match="scale and dt must be positive and low below high"):
        DifferentiableHead(4, 0.1, 1.0, 1.0)
