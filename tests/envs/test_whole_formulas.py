"""Whole images by a formula are the same event by event, in every network, with every scalar and for every formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.rules.distilled import DistilledRule, Term

UNSUP1, UNSUP2, SEMI = "SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0", "SNNPlastic-Semi-v0"
SMALL = {"dataset": "digits", "num_steps": 25, "history_length": 25, "max_rate": 0.1}
DIEHL_COOK = {**SMALL, "n_exc": 12, "gain_input_exc": 2.0, "eta_exc": 0.05, "eta_inh": 0.05}
HOMEOSTASIS = {"exc_refractory": 3.0, "exc_theta_plus": 2.0, "exc_tau_theta": 50.0, "exc_one_spike": True}
FEEDFORWARD = {**SMALL, "hidden_sizes": [9, 7], "w_init": 6.0, "max_rate": 0.4, "eta": 0.01}
FACTORS = ["pre", "post", "w", "x20", "y20", "x5", "yn", "xn"]
PLAIN = ["post", "pre*w", "post*x20", "pre*y20", "post*x20*w*w", "x5*y5", "w*w", "post*xn*yn"]


def formula(env, terms, seed=3, bold=0.5):
    """A policy that is a formula with coefficients drawn at random."""
    names = tuple(env.engine.scalars.names)
    groups = len(env.engine.heads)
    network = new_network(Architecture(num_groups=groups, formula_terms=tuple(terms), extra_keys=names))
    generator = torch.Generator().manual_seed(seed)
    for head in network.heads:
        for values in head.parameters():
            torch.nn.init.normal_(values, std=bold, generator=generator)
    return FrozenRule(network, env.config.history_length)


def assert_same_lives(env_id, config, rule_of, images=20, num_envs=2, seed=5):
    """Live both ways; return the spikes of every population, and by how much weights moved."""
    fast, slow = (PlasticityVectorEnv(env_id, num_envs=num_envs, **config) for _ in range(2))
    fast.reset(seed=seed), slow.reset(seed=seed)
    rule, begun = rule_of(fast), fast.engine.network.weights.clone()
    for env in (fast, slow):
        env.run_episode(lambda events: torch.as_tensor(rule(events)))  # a reset has taken the first step
    spikes = dict.fromkeys(fast.engine.raster, 0)
    for _ in range(images):
        assert fast.engine.run_episode(rule)
        rasters = {name: raster.clone() for name, raster in fast.engine.raster.items()}
        one = fast._interface._end()
        while (events := slow.events()) is not None:
            slow.apply(torch.as_tensor(rule(events)))
        for name, raster in slow.engine.raster.items():
            assert torch.equal(raster, rasters[name]), name
            spikes[name] += int(raster.sum())
        other = slow.finish()
        assert one.num_events.tolist() == other.num_events.tolist()
        torch.testing.assert_close(one.reward, other.reward)
        torch.testing.assert_close(fast.engine.network.weights, slow.engine.network.weights, rtol=0, atol=1e-6)
    changes, others = fast.engine.changes.take(), slow.engine.changes.take()
    for key, value in others.items():
        assert changes[key] == pytest.approx(value, rel=1e-2 if "potentiation" in key else 1e-3, abs=1e-5), key
    return spikes, float((fast.engine.network.weights - begun).abs().max())


@pytest.mark.parametrize("options", [{}, HOMEOSTASIS, {"history_length": 6}], ids=["plain", "homeostasis", "K < T"])
@pytest.mark.parametrize("env_id", [UNSUP1, UNSUP2])
def test_in_the_diehl_cook_network(env_id, options):
    spikes, moved = assert_same_lives(env_id, {**DIEHL_COOK, **options}, lambda env: formula(env, PLAIN))
    assert min(spikes.values()) > 0 and moved > 0.1


SCALARS = ["potential", "surrogate", "theta", "reward"]
WITH_SCALARS = ["pre*surrogate", "post*x20*potential", "theta*w", "reward*pre", "pre*surrogate*surrogate*y20"]


def test_every_scalar_of_neurons():
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": SCALARS}
    spikes, moved = assert_same_lives(UNSUP1, config, lambda env: formula(env, WITH_SCALARS, bold=0.2))
    assert min(spikes.values()) > 0 and moved > 0.1


@pytest.mark.parametrize("modulation", ["none", "reward", "factor"])
@pytest.mark.parametrize("factor", ["reward", "teaching", "feedback"])
def test_every_third_factor(factor, modulation):
    config = {**FEEDFORWARD, "third_factor": factor, "modulation": modulation, "local_state": ["surrogate"]}
    terms = ["pre*factor*surrogate", "post*x20*factor", "pre*factor*factor", "pre*w"]
    spikes, moved = assert_same_lives(SEMI, config, lambda env: formula(env, terms))
    assert min(spikes.values()) > 0 and moved > 1e-3


def test_a_distilled_formula_with_a_head_for_each_projection():
    heads = [[Term(0.4, ("post", "x20")), Term(-0.3, ())], [Term(0.9, ("pre", "w")), Term(0.2, ("yn", "post"))]]
    spikes, moved = assert_same_lives(UNSUP2, DIEHL_COOK, lambda env: DistilledRule(heads, 1.0, ()))
    assert min(spikes.values()) > 0 and moved > 0.1


@given(
    terms=st.lists(
        st.lists(st.sampled_from(FACTORS), min_size=1, max_size=3).map(lambda names: "*".join(sorted(names))),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    num_envs=st.integers(1, 3),
    n_exc=st.integers(1, 9),
    num_steps=st.integers(1, 12),
    window=st.integers(1, 12),
    dt=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=25)
def test_formulas_and_networks_of_any_shape(terms, num_envs, n_exc, num_steps, window, dt, seed):
    config = {**DIEHL_COOK, "n_exc": n_exc, "num_steps": num_steps, "history_length": min(window, num_steps), "dt": dt}
    assert_same_lives(UNSUP2, config, lambda env: formula(env, terms, seed), images=3, num_envs=num_envs, seed=seed)


def test_what_has_to_go_by_events(monkeypatch):
    """A scalar of one's own, and scalars in another order than the rule's."""
    from snn_plasticity_gym.plasticity import local_scalars

    monkeypatch.setitem(local_scalars.LOCAL_SCALARS, "calm", lambda view: 1.0 - view.spikes.float())
    for names, of_rule in ((["calm"], ("calm",)), (["theta"], ())):
        env = PlasticityVectorEnv(UNSUP1, num_envs=1, **DIEHL_COOK, local_state=names)
        env.reset(seed=1)
        env.run_episode(lambda events: torch.zeros_like(events.weight))
        network = new_network(Architecture(formula_terms=("pre",), extra_keys=of_rule))
        assert not env.engine.run_episode(FrozenRule(network, 25))


def test_a_formula_that_is_not_finite_is_named():
    env = PlasticityVectorEnv(UNSUP1, num_envs=2, **DIEHL_COOK)
    env.reset(seed=1)
    env.run_episode(lambda events: torch.zeros_like(events.weight))
    with pytest.raises(ValueError, match="delta_d must be finite, got NaN in lifetime 0"):
        for _ in range(3):
            env.run_episode(DistilledRule([[Term(float("nan"), ("pre",))]], 1.0, ()))


def test_squashing_is_the_tangens_hyperbolicus():
    values = np.concatenate([np.linspace(-12, 12, 10_001), [1e-7, -1e-30, 1e30, -1e30, 0.0]]).astype(np.float32)
    expected = np.tanh(values.astype(np.float64))
    squash(values, len(values))
    assert np.abs(values - expected).max() < 5e-7 and np.abs(values).max() <= 1.0
