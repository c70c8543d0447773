"""Whole images by a formula are the same event by event, in every network, with every scalar and for every formula."""

import numpy as np
import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from inlined import from_python
from lives import DIEHL_COOK, FEEDFORWARD, HOMEOSTASIS, assert_same_lives, formula

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.rules.distilled import DistilledRule, Term

UNSUP1, UNSUP2, SEMI = "SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0", "SNNPlastic-Semi-v0"
FACTORS = ["pre", "post", "w", "x20", "y20", "x5", "yn", "xn"]
PLAIN = ["post", "pre*w", "post*x20", "pre*y20", "post*x20*w*w", "x5*y5", "w*w", "post*xn*yn"]


@pytest.mark.parametrize("options", [{}, HOMEOSTASIS, {"history_length": 6}], ids=["plain", "homeostasis", "K < T"])
@pytest.mark.parametrize("env_id", [UNSUP1, UNSUP2])
def test_in_the_diehl_cook_network(env_id, options):
    lived = assert_same_lives(env_id, {**DIEHL_COOK, **options}, lambda env: formula(env, PLAIN))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize("kinds", ["pre", "post"])
@pytest.mark.parametrize("env_id", [UNSUP1, UNSUP2])
def test_the_spikes_of_one_side_alone(env_id, kinds):
    config = {**DIEHL_COOK, "event_kinds": kinds, "max_rate": 0.3}
    lived = assert_same_lives(env_id, config, lambda env: formula(env, PLAIN), images=4)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


SCALARS = ["potential", "surrogate", "theta", "reward"]
WITH_SCALARS = ["pre*surrogate", "post*x20*potential", "theta*w", "reward*pre", "pre*surrogate*surrogate*y20"]


def test_every_scalar_of_neurons():
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": SCALARS}
    lived = assert_same_lives(UNSUP1, config, lambda env: formula(env, WITH_SCALARS, bold=0.2))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize(
    ("factor", "modulation"), grid(["reward", "teaching", "feedback"], ["none", "reward", "factor"])
)
def test_every_third_factor(factor, modulation):
    config = {**FEEDFORWARD, "third_factor": factor, "modulation": modulation, "local_state": ["surrogate"]}
    terms = ["pre*factor*surrogate", "post*x20*factor", "pre*factor*factor", "pre*w"]
    lived = assert_same_lives(SEMI, config, lambda env: formula(env, terms))
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


def test_a_distilled_formula_with_a_head_for_each_projection():
    heads = [[Term(0.4, ("post", "x20")), Term(-0.3, ())], [Term(0.9, ("pre", "w")), Term(0.2, ("yn", "post"))]]
    lived = assert_same_lives(UNSUP2, DIEHL_COOK, lambda env: DistilledRule(heads, 1.0, ()))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


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
@settings(max_examples=25)
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
    from_python(squash)(values, len(values))
    assert np.abs(values - expected).max() < 5e-7 and np.abs(values).max() <= 1.0
