"""The compiled way through an image is the way event by event, in every network and by every rule."""

import copy
import dataclasses
import pickle
import time

import numpy as np
import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import DIEHL_COOK, FEEDFORWARD, assert_same_lives, by_events
from lives import HOMEOSTASIS as PLAIN_HOMEOSTASIS

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels.tables import ClosedForm
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.rules import RULES, make_rule
from snn_plasticity_gym.rules.triplet_stdp import TRIPLET_FITS
from snn_plasticity_gym.tasks.unsupervised import UnsupervisedTask

UNSUP, SEMI = "SNNPlastic-Unsup2-v0", "SNNPlastic-Semi-v0"
HOMEOSTASIS = {
    **PLAIN_HOMEOSTASIS,
    "exc_v_min": -70.0,
    "w_exc_sum": 80.0,
    "inh_refractory": 2.0,
}
CLOSED = [name for name in RULES if name not in ("random", "delta", "feedback-surrogate", "reward-stdp", "svpg")]


def lives(env_id, rule, config, images=3, rounding=3e-7, **options):
    """Whether any weight has moved, and the last spikes of every population; see `assert_same_lives`."""
    lived = assert_same_lives(env_id, config, lambda env: rule, images, rounding=rounding, least=1e-8, **options)
    return lived.moved > 0, lived.last


SQUARES = {**HOMEOSTASIS, "w_exc_sum": 6.0, "exc_norm": "l2"}


@pytest.mark.parametrize("options", [{}, HOMEOSTASIS, SQUARES], ids=["plain", "homeostasis", "l2"])
@pytest.mark.parametrize("name", CLOSED)
def test_every_rule_in_the_diehl_cook_network(name, options):
    scale = {} if name == "zero" else {"scale": 0.05}
    moved, spikes = lives(UNSUP, make_rule(name, **scale), {**DIEHL_COOK, **options})
    assert moved is (name != "zero") or options  # column sums move the weights, too
    assert spikes["exc"] > 0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("stdp", {"pairing": "nearest"}),
        ("stdp", {"coincident": True, "mu_plus": 0.3, "mu_minus": 0.7}),
        ("stdp", {"inhibitory": "fixed", "alpha": 2.0}),
        ("stdp", {"w_max": 0.3}),
        ("target-stdp", {"bounds": "soft", "mu": 1.0}),
        ("target-stdp", {"pairing": "nearest", "coincident": False, "mu": 0.0}),
        ("target-stdp", {"learning_rate": 3.0, "x_tar": 1.5}),
        ("triplet-stdp", TRIPLET_FITS["hippocampus-nearest"]),
        ("oja", {"coincident": False, "learning_rate": 0.3}),
        ("bcm", {"theta_min": 0.2, "learning_rate": 0.3}),
    ],
)
def test_every_parameter_that_changes_the_formula(name, parameters):
    moved, _ = lives(UNSUP, make_rule(name, scale=0.05, **parameters), DIEHL_COOK)
    assert moved


@pytest.mark.parametrize("factor_steps", [0, 7])
@pytest.mark.parametrize("factor", ["reward", "teaching", "feedback"])
def test_the_delta_rule_under_every_third_factor(factor, factor_steps):
    if factor == "reward" and factor_steps:
        pytest.skip("refused by the settings")
    config = {**FEEDFORWARD, "third_factor": factor, "factor_steps": factor_steps}
    moved, spikes = lives(SEMI, make_rule("delta", gain=0.7), config)
    assert moved and min(spikes.values()) > 0


@pytest.mark.parametrize("kinds", ["pre", "post"])
@pytest.mark.parametrize("name", ["stdp", "triplet-stdp", "target-stdp", "oja", "bcm"])
def test_the_spikes_of_one_side_alone(name, kinds):
    config = {**DIEHL_COOK, "event_kinds": kinds, "max_rate": 0.3}  # so that both often fire at once
    moved, spikes = lives(UNSUP, make_rule(name, scale=0.05), config)
    assert min(spikes.values()) > 0 and (moved or kinds == "pre")


@pytest.mark.parametrize("options", [{}, HOMEOSTASIS], ids=["plain", "homeostasis"])
@pytest.mark.parametrize("dt", [0.5, 0.2, 2.0])
def test_steps_of_any_length(dt, options):
    config = {**DIEHL_COOK, "n_exc": 10, "dt": dt}
    moved, spikes = lives(UNSUP, make_rule("stdp", scale=0.05, dt=dt), {**config, **options})
    assert moved and spikes["exc"] > 0


@pytest.mark.parametrize("dt", [0.5, 0.2, 2.0])
def test_steps_of_any_length_with_feedback(dt):
    moved, spikes = lives(SEMI, make_rule("delta", gain=0.7), {**FEEDFORWARD, "third_factor": "feedback", "dt": dt})
    assert moved and min(spikes.values()) > 0


@pytest.mark.parametrize(
    ("kinds", "parameters", "factor", "modulation"),
    grid(["merged", "pre", "post"], [{}, {"gain": 0.5, "tau_pre": 5.0}], ["reward", "feedback"], ["none", "reward"]),
)
def test_feedback_with_the_derivative(kinds, parameters, factor, modulation):
    config = {**FEEDFORWARD, "third_factor": factor, "local_state": ["surrogate"], "modulation": modulation}
    config |= {"event_kinds": kinds}
    rule = make_rule("feedback-surrogate", **parameters)
    rounding = 1e-6 if factor == "feedback" else 3e-6  # grows with the changes themselves
    images = 3 if kinds == "post" else 5  # who fires learns to fire, and differences grow tenfold with each image
    moved, spikes = lives(SEMI, rule, config, images=images, rounding=rounding)
    assert moved and min(spikes.values()) > 0


@pytest.mark.parametrize("modulation", ["none", "reward"])
@pytest.mark.parametrize("name", ["delta", "feedback-surrogate"])
def test_factors_in_recurrent_networks_with_adaptive_thresholds(name, modulation, monkeypatch):
    """As of a task of one's own: lateral inhibition has no self-connections, and thresholds are part of surrogates."""
    monkeypatch.setattr(UnsupervisedTask, "scalars", ("factor",))
    factors = {"exc": torch.linspace(-0.4, 0.5, 24).view(2, 12)}
    monkeypatch.setattr(UnsupervisedTask, "factors", lambda _: factors)
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": ["surrogate"], "modulation": modulation}
    moved, spikes = lives(UNSUP, make_rule(name), {**config, "w_exc_sum": 0.0}, rounding=1e-6)
    assert moved and min(spikes.values()) > 0


@pytest.mark.parametrize("name", ["reward-stdp", "stdp", "target-stdp"])
def test_changes_held_back_for_the_reward(name):
    config = {**DIEHL_COOK, "modulation": "reward", "tau_eligibility": 15.0}
    moved, _ = lives(UNSUP, make_rule(name, scale=0.05), config)
    assert moved


def test_the_delta_rule_held_back_for_the_reward():
    config = {**FEEDFORWARD, "third_factor": "feedback", "modulation": "reward", "tau_eligibility": 15.0}
    moved, _ = lives(SEMI, make_rule("delta"), config)
    assert moved


@pytest.mark.parametrize(
    ("env_id", "name", "config"),
    [(UNSUP, "stdp", DIEHL_COOK), (SEMI, "delta", {**FEEDFORWARD, "third_factor": "feedback"})],
)
def test_learning_rates_that_fall(env_id, name, config):
    moved, _ = lives(env_id, make_rule(name), {**config, "eta_decay": 1.5})
    assert moved


def test_rules_of_traces_in_a_feedforward_network():
    moved, _ = lives(SEMI, make_rule("stdp", scale=0.01), FEEDFORWARD)
    assert moved


@settings(max_examples=12)
@given(
    st.sampled_from(["stdp", "triplet-stdp", "target-stdp", "oja", "bcm"]),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 30),
    st.floats(0.5, 5.0),
    st.integers(0, 1000),
)
def test_networks_of_any_shape(name, num_envs, n_exc, num_steps, gain, seed):
    config = {**DIEHL_COOK, "n_exc": n_exc, "num_steps": num_steps, "history_length": num_steps, "gain_input_exc": gain}
    lives(UNSUP, make_rule(name, scale=0.05), config, images=2, num_envs=num_envs, seed=seed)


@pytest.mark.parametrize(
    ("env_id", "name", "config"),
    [
        (UNSUP, "random", DIEHL_COOK),
        (UNSUP, "bcm", {**DIEHL_COOK, "history_length": 10}),
        (UNSUP, "stdp", {**DIEHL_COOK, "event_kinds": "split"}),
        (UNSUP, "stdp", {**DIEHL_COOK, "credit": "neuron"}),
        (SEMI, "delta", FEEDFORWARD),
        (SEMI, "feedback-surrogate", {**FEEDFORWARD, "third_factor": "feedback"}),
    ],
    ids=["no closed form", "K < T", "two phases", "rewards by event", "no factor", "no surrogate"],
)
def test_what_has_to_go_by_events(env_id, name, config):
    env = PlasticityVectorEnv(env_id, num_envs=1, **config)
    assert env.engine.whole.way(make_rule(name)) is None


def test_a_task_that_follows_steps_without_tables_goes_by_events(monkeypatch):
    env = PlasticityVectorEnv(UNSUP, num_envs=1, **DIEHL_COOK)
    assert isinstance(env.engine.whole.way(make_rule("stdp")), ClosedForm)
    monkeypatch.setattr(UnsupervisedTask, "follows_steps", True)
    assert env.engine.whole.way(make_rule("stdp")) is None


@pytest.mark.parametrize("name", ["stdp", "target-stdp", "triplet-stdp"])
def test_histories_that_forget(name):
    config = {**DIEHL_COOK, "history_length": 6}
    moved, spikes = lives(UNSUP, make_rule(name), config, images=5, rounding=1e-6)
    assert moved and min(spikes.values()) > 0


def test_an_image_whose_events_were_asked_for_is_ended_by_events():
    """`events` has taken the first step: the rest of that image, and no more, goes the slow way."""
    fast, slow = (PlasticityVectorEnv(UNSUP, num_envs=2, **DIEHL_COOK) for _ in range(2))
    rule = make_rule("stdp")
    for env, way in ((fast, rule), (slow, by_events(rule))):
        env.reset(seed=1)
        env.run_episode(way)
        for _ in range(3):
            env.apply(rule(env.events()))
        env.run_episode(way)
        env.run_episode(way)
    torch.testing.assert_close(fast.engine.network.weights, slow.engine.network.weights, rtol=0, atol=3e-7)
    assert fast.engine.ages.tolist() == slow.engine.ages.tolist() == [3, 3]


def test_responses_are_those_of_frozen_networks():
    """As after a life without plasticity and with thresholds that stay; nothing of the networks changes."""
    env = PlasticityVectorEnv(UNSUP, num_envs=3, **DIEHL_COOK, **HOMEOSTASIS)
    env.reset(seed=2)
    for _ in range(3):
        env.run_episode(make_rule("stdp", scale=0.05))
    engine = env.engine
    before = pickle.dumps((engine.network, engine.raster, engine.task))
    spikes = torch.rand(25, 784, generator=torch.Generator().manual_seed(0)) < 0.05
    trains = [SpikeTrain.of(spikes), SpikeTrain.of(spikes.flip(0))]
    counts = engine.whole.images.respond(trains, np.zeros(2, np.uint64))
    assert not torch.equal(counts[:, 0], counts[:, 1])
    assert pickle.dumps((engine.network, engine.raster, engine.task)) == before

    network = pickle.loads(pickle.dumps(engine.network))
    assert network.states["exc"].theta.max() > 0
    for name, population in network.populations.items():
        if population.lif is not None:  # a decay of 1 and no rise
            frozen = population.lif._replace(theta_plus=0.0)
            network.populations[name] = dataclasses.replace(population, lif=frozen)
    network.rest(torch.arange(3))
    expected = sum(network.advance({"input": step.expand(3, -1)}).spikes["exc"].long() for step in spikes)  # (B, N)
    assert torch.equal(counts[:, 0], expected) and counts.sum() > 0
    assert len({tuple(row) for row in counts[:, 0].tolist()}) == 3  # three networks, one input


def test_it_is_much_faster():
    """A regression guard by ratio, one lifetime: the event path took 20 to 200 times as long."""
    config = {**DIEHL_COOK, "n_exc": 100}
    env = PlasticityVectorEnv(UNSUP, num_envs=1, **config)
    rule = make_rule("stdp")
    seconds = {}
    env.reset(seed=0)
    for name, way in (("events", by_events(rule)), ("compiled", rule)):
        env.run_episode(way)
        began = time.process_time()
        for _ in range(5):
            env.run_episode(way)
        seconds[name] = time.process_time() - began
    assert seconds["events"] > 5 * seconds["compiled"]


@pytest.mark.parametrize("factor", ["teaching", "feedback"])
def test_third_factors_go_on_where_nothing_learns_any_more(factor, monkeypatch):
    config = {**FEEDFORWARD, "third_factor": factor, "plastic_episodes": 2}
    fast, slow = (PlasticityVectorEnv(SEMI, num_envs=2, **config) for _ in range(2))
    monkeypatch.setattr(slow.engine.whole, "run", lambda *_: None)
    rule = make_rule("delta")
    fast.reset(seed=1), slow.reset(seed=1)
    for _ in range(4):
        fast.run_episode(rule), slow.run_episode(rule)
        told, expected = fast.engine.task.factors(), slow.engine.task.factors()
        for name, values in expected.items():
            torch.testing.assert_close(told[name], values, rtol=1e-5, atol=1e-6)
    assert fast.engine.network.non_plastic.all() and expected["output"].abs().max() > 0


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize(
    ("env_id", "name", "config"),
    [
        (UNSUP, "stdp", {**DIEHL_COOK, **HOMEOSTASIS}),
        (SEMI, "delta", {**FEEDFORWARD, "third_factor": "feedback"}),
        ("SNNPlastic-Grad-v0", "stdp", {**FEEDFORWARD, "layer_scalars": [0.5, 1.0, 2.0]}),
    ],
    ids=["unsupervised", "feedback", "teacher"],
)
def test_a_copy_lives_on_as_the_original_would_have(env_id, name, config, duplicate):
    """Loops look at the memory of their own engine's tensors: a copy's, and in new lifetimes, too."""
    env, rule = PlasticityVectorEnv(env_id, num_envs=2, **config), make_rule(name)
    env.reset(seed=3)
    for _ in range(4):
        env.run_episode(rule)
    twin = duplicate(env)
    for _ in range(3):
        for one in (env, twin):
            one.reset(options={"new_lifetime": True})
            one.begin()
        for _ in range(3):
            own, other = env.run_episode(rule), twin.run_episode(rule)
            torch.testing.assert_close(own.reward, other.reward, rtol=0, atol=0)
            assert {key: n.tolist() for key, n in own.spikes.items()} == {
                k: n.tolist() for k, n in other.spikes.items()
            }
            for population, raster in env.engine.raster.items():
                assert torch.equal(raster, twin.engine.raster[population])
        assert torch.equal(env.engine.network.weights, twin.engine.network.weights)
