"""Formulas through which gradients flow: the engine's own changes of weights, and derivatives by finite differences."""

import itertools

import numpy as np
import pytest
import torch
from lives import FEEDFORWARD
from plastic_rules import assert_derivatives_are_differences
from torch.autograd import gradcheck

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.differentiable import layer_init, step
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.formula import default_terms, read_term
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula

SEMI = "SNNPlastic-Semi-v0"
STEPS = 60
ETA = 0.02
OTHERS = ["pre*x5", "x20*y5*w", "xn", "post*yn*w*w", "x20*x20"]


def made(terms, coefficients, dtype=torch.float32, scale=ETA, low=-1.0, high=1.0, dt=1.0):
    rule = DifferentiableFormula([read_term(term, ()) for term in terms], scale, low, high, dt).to(dtype)
    with torch.no_grad():
        rule.coefficients.copy_(torch.as_tensor(coefficients))
    return rule


def live(rule, pre, post, weights):
    """Weights after every step, (T, B, n_pre, n_post), of spikes (T, B, n_pre) and (T, B, n_post)."""
    state, seen = rule.initial(weights[0], len(weights))._replace(weights=weights), []
    for before, after in zip(pre, post, strict=True):
        state = rule.after_spikes(state, before, after)
        seen.append(state.weights)
    return torch.stack(seen)


@pytest.mark.parametrize("dt", [1.0, 2.0])
@pytest.mark.parametrize(("terms", "spread"), [(default_terms(()), 0.2), (OTHERS, 0.03)], ids=["default", "others"])
def test_weights_are_those_of_the_engine(terms, spread, dt, tmp_path):
    """The engine finds events, reads histories bit by bit, and answers by the rule file of the same formula."""
    coefficients = spread * np.random.default_rng(1).standard_normal(1 + len(terms))
    network = new_network(Architecture(formula_terms=tuple(terms), dt=dt))
    with torch.no_grad():
        network.heads[0].coefficients.bias[:] = coefficients[0]
        network.heads[0].coefficients.weight[0] = torch.from_numpy(coefficients[1:])
    save_rule(tmp_path, network, describe(network.architecture, history_length=STEPS))
    config = {
        **FEEDFORWARD,
        "num_steps": STEPS,
        "history_length": STEPS,
        "dt": dt,
        "eta": ETA,
        "w_min": -0.5,
        "w_max": 0.5,
    }
    engine = PlasticityVectorEnv(SEMI, num_envs=2, **config).engine
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
    rule = made(terms, coefficients, low=-0.5, high=0.5, dt=dt)
    clipped = moved = fired = 0
    for p in projections:
        pre, post = (engine.raster[name].transpose(0, 1).float() for name in (p.source, p.target))  # (T, B, N)
        first, *expected = kept[p.name]
        ours = live(rule, pre, post, first)
        assert (ours - torch.stack(expected)).abs().max() < 1e-6
        moved += int((ours[-1] != first).sum())
        clipped += int((ours.abs() == 0.5).sum())
        fired += int(post.sum())
    assert moved > 1000 and clipped > 50 and fired > 100


def test_derivatives_are_those_of_finite_differences():
    """Of everything, at spikes between 0 and 1, where the formula is a smooth function of them."""
    rng = torch.Generator().manual_seed(3)
    terms = [*default_terms(()), *OTHERS]
    rule = made(terms, 0.2 * torch.randn(1 + len(terms), generator=rng), torch.float64, low=-4.0, high=4.0)
    spikes = [torch.rand(4, 2, size, generator=rng, dtype=torch.float64) for size in (3, 2)]
    weights = torch.randn(2, 3, 2, generator=rng, dtype=torch.float64)
    given = [values.requires_grad_() for values in (*spikes, weights)]
    assert gradcheck(lambda pre, post, first, _: live(rule, pre, post, first)[-1], (*given, rule.coefficients))


@pytest.mark.parametrize("kinds", [*itertools.product((0.0, 1.0), repeat=2)])
def test_the_derivative_by_a_spike_is_the_difference_that_it_makes(kinds):
    terms = default_terms(())
    rule = made(terms, 0.3 * torch.randn(1 + len(terms), generator=torch.Generator().manual_seed(5)), torch.float64)
    traces = [torch.tensor([[[0.7]]], dtype=torch.float64), torch.tensor([[[0.4]]], dtype=torch.float64)]
    state = rule.initial(torch.tensor([[0.3]], dtype=torch.float64), 1)._replace(pre=traces[0], post=traces[1])
    assert_derivatives_are_differences(rule, state, kinds)


@pytest.mark.parametrize("neuron", [LIFParams(), SRMAlphaParams(v_th=2.0)], ids=["lif", "srm-alpha"])
def test_gradients_flow_through_a_layer_of_either_neuron(neuron):
    """Steps of a layer under a smooth spike function against finite differences."""
    rule = made(["post*x20", "pre*y20", "w"], [-0.1, 0.4, -0.3, 0.2], torch.float64, low=-9.0, high=9.0)
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 2, generator=rng, dtype=torch.float64).requires_grad_()
    inputs = (torch.rand(5, 2, 3, generator=rng) < 0.5).double()

    def run(first, _):
        state = layer_init(2, first, neuron, rule)
        for now in inputs:
            state = step(state, now, first, rule, neuron, lambda x: torch.sigmoid(x / 10), gain=2.0)
        return state.plastic.weights.sum() + state.v.sum()

    assert gradcheck(run, (weights, rule.coefficients))


def test_on_a_limit_gradients_pass_and_beyond_they_do_not():
    rule = made(["post"], [0.0, 0.5], torch.float64)
    weights = torch.tensor([[-1.0, 1.0, 1.5]], dtype=torch.float64, requires_grad=True)
    silent = rule.initial(weights, 1)
    rule.after_spikes(silent, torch.zeros(1, 1).double(), torch.zeros(1, 3).double()).weights.sum().backward()
    assert weights.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_what_is_no_formula_is_refused():
    with pytest.raises(ConfigError, match="unknown factor 'theta'"):
        DifferentiableFormula([("theta",)], 0.1, -1.0, 1.0)
    for scale, low, high in ((0.0, -1.0, 1.0), (0.1, 1.0, 1.0)):
        with pytest.raises(ValueError, match="scale and dt must be positive and low below high"):
            DifferentiableFormula([("pre",)], scale, low, high)
