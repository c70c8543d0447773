"""Whole images by heads over a front are the same event by event, in every network, and far quicker."""

import time

import numpy as np
import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from inlined import from_python
from lives import DIEHL_COOK, FEEDFORWARD, HOMEOSTASIS, SMALL, assert_same_lives, bold_rule, bold_rules

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels import lines
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import new_network

UNSUP1, UNSUP2, SEMI = "SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0", "SNNPlastic-Semi-v0"


@pytest.mark.parametrize("options", [{}, HOMEOSTASIS, {"history_length": 6}], ids=["plain", "homeostasis", "K < T"])
@pytest.mark.parametrize("env_id", [UNSUP1, UNSUP2])
def test_in_the_diehl_cook_network(env_id, options):
    lived = assert_same_lives(env_id, {**DIEHL_COOK, **options}, bold_rule)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


def test_with_the_sizes_of_a_policy():
    def trained(env):
        return bold_rule(env, sizes=(128, 128), channels=(16, 32), boldness=0.05)

    lived = assert_same_lives(UNSUP2, DIEHL_COOK, trained, images=6)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize("env_id", [pytest.param(UNSUP1, marks=pytest.mark.slow), UNSUP2])
def test_heads_of_each_lifetimes_own(env_id):
    lived = assert_same_lives(
        env_id, {**DIEHL_COOK, "event_kinds": "feature"}, lambda env: bold_rules(env, use_kind=True), num_envs=3
    )
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize("rule", [bold_rule, bold_rules], ids=["shared", "own"])
def test_heads_of_one_hidden_layer(rule):
    lived = assert_same_lives(UNSUP2, DIEHL_COOK, lambda env: rule(env, sizes=(12,)), num_envs=3)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize("kinds", ["pre", "post"])
def test_the_spikes_of_one_side_alone(kinds):
    config = {**DIEHL_COOK, "event_kinds": kinds, "max_rate": 0.3}
    lived = assert_same_lives(UNSUP2, config, bold_rule)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


def test_heads_of_each_lifetimes_own_with_scalars():
    config = {**FEEDFORWARD, "third_factor": "feedback", "local_state": ["surrogate"]}
    lived = assert_same_lives(SEMI, config, lambda env: bold_rules(env, 0.2), images=3, num_envs=3)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


def test_in_a_feedforward_network():
    lived = assert_same_lives(SEMI, FEEDFORWARD, bold_rule)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.01


def test_kinds_as_features():
    config = {**DIEHL_COOK, "event_kinds": "feature"}
    lived = assert_same_lives(UNSUP1, config, lambda env: bold_rule(env, use_kind=True))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize("scalars", [["reward"], ["potential", "surrogate", "theta"]], ids=["alike", "each its own"])
def test_scalars_of_neurons(scalars):
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": scalars}
    lived = assert_same_lives(UNSUP2, config, lambda env: bold_rule(env, boldness=0.2))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"n_exc": 150, "num_steps": 12, "history_length": 12},  # a row has more events than go together
        {"num_steps": 40, "history_length": 40},  # histories are too long to be kept
        {"event_kinds": "feature", "history_length": 6},
        {"event_kinds": "post", "max_rate": 0.3},
    ],
    ids=["wide", "long", "K < T", "post"],
)
def test_scalars_of_neurons_of_their_own(options):
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": ["surrogate"], **options}
    use_kind = options.get("event_kinds") == "feature"
    lived = assert_same_lives(UNSUP2, config, lambda env: bold_rule(env, boldness=0.2, use_kind=use_kind), images=4)
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.01


def test_silent_partners_of_a_column_by_lines():
    """Where they are many for the width of the head; there every event sees the scalars of its post neuron."""
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": ["surrogate"]}
    lived = assert_same_lives(UNSUP1, config, lambda env: bold_rule(env, sizes=(8, 160), boldness=0.2))
    assert min(lived.spikes.values()) > 0 and lived.moved > 0.1


@pytest.mark.parametrize(
    ("factor", "modulation"), grid(["reward", "teaching", "feedback"], ["none", "reward", "factor"])
)
def test_every_third_factor(factor, modulation):
    config = {**FEEDFORWARD, "third_factor": factor, "modulation": modulation}
    lived = assert_same_lives(SEMI, config, bold_rule, images=3)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    kernel_sizes=st.sampled_from([(1, 1), (3, 1), (1, 5), (5, 5)]),
    num_envs=st.integers(1, 3),
    n_exc=st.integers(1, 9),
    num_steps=st.integers(1, 12),
    window=st.integers(1, 12),
    kinds=st.sampled_from(["merged", "feature", "pre", "post"]),
    scalars=st.sampled_from([[], ["surrogate"], ["reward", "theta"]]),
    seed=st.integers(0, 99),
)
@settings(max_examples=6)
def test_heads_and_networks_of_any_shape(
    sizes, channels, kernel_sizes, num_envs, n_exc, num_steps, window, kinds, scalars, seed
):
    sizes_of_network = {"n_exc": n_exc, "num_steps": num_steps, "history_length": min(window, num_steps)}
    config = {**DIEHL_COOK, **sizes_of_network, "event_kinds": kinds, "local_state": scalars}

    def rule(env):
        return bold_rule(env, seed, sizes, channels, kernel_sizes, use_kind=kinds == "feature")

    assert_same_lives(UNSUP2, config, rule, images=3, num_envs=num_envs, seed=seed)


def test_what_has_to_go_by_events():
    """Heads with more than two hidden layers."""
    env = PlasticityVectorEnv(UNSUP1, num_envs=1, **DIEHL_COOK)
    env.reset(seed=1)
    env.run_episode(lambda events: torch.zeros_like(events.weight))
    assert not env.engine.run_episode(FrozenRule(new_network(Architecture(hidden_sizes=(8, 8, 8))), 25))


@pytest.mark.parametrize("scalars", [[], ["surrogate"]], ids=["lines", "first layers"])
def test_another_rule_does_not_get_what_is_kept_of_the_one_before(scalars):
    config = {**DIEHL_COOK, "local_state": scalars}
    env, fresh = (PlasticityVectorEnv(UNSUP1, num_envs=1, **config) for _ in range(2))
    rules = [bold_rule(env, seed) for seed in (1, 2)]
    env.reset(seed=1)
    env.run_episode(lambda events: torch.zeros_like(events.weight))
    env.run_episode(rules[0])
    for rule_of_life, one in ((rules[1], env), (rules[1], fresh)):
        one.reset(seed=2)
        one.run_episode(lambda events: torch.zeros_like(events.weight))
        one.run_episode(rule_of_life)
    assert torch.equal(env.engine.network.weights, fresh.engine.network.weights)


def test_lines_are_the_head():
    generator = np.random.default_rng(1)
    h1, h2, count = 30, 20, 1000
    a, b = generator.normal(size=(2, h1)).astype(np.float32)
    rows, bias = (generator.normal(size=shape).astype(np.float32) for shape in ((h1, h2), h2))
    last = generator.normal(size=h2).astype(np.float32)
    room = lines.room_for_lines(h1, h2, count)
    low, high = np.float32(-1.0), np.float32(2.0)
    number = from_python(lines.write_out)(low, high, a, b, rows, bias, last, np.float32(0.3), room)
    knots = room.knot[:number]
    assert number > 20 and (np.diff(knots) >= 0).all() and np.isinf(room.knot[number])
    weights, found = generator.uniform(-1, 2, count).astype(np.float32), np.empty(count, np.float32)
    weights[:number] = knots[:count]  # where it bends, too
    per_weight = np.float32(lines.BUCKETS / 3.0)
    steps = from_python(lines.fill_buckets)(low, per_weight, number, room.knot, room.bucket)
    from_python(lines.look_up)(
        weights, count, low, per_weight, steps, room.bucket, room.knot, room.height, room.slope, room.line, found
    )
    hidden = np.maximum(a + weights[:, None].astype(np.float64) * b, 0) @ rows.astype(np.float64) + bias
    expected = np.maximum(hidden, 0) @ last.astype(np.float64) + 0.3
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_it_is_quicker_than_event_by_event():
    # As many input spikes as 50 steps of an MNIST digit have at the rate of `Unsup1`.
    config = {**SMALL, "n_exc": 100, "num_steps": 50, "history_length": 50, "max_rate": 0.03}
    env = PlasticityVectorEnv(UNSUP1, num_envs=1, **config)
    env.reset(seed=1)
    rule = bold_rule(env, sizes=(64, 64), channels=(8, 16), boldness=0.05)
    ways = (rule, lambda events: rule(events))
    for way in (*ways, *ways):
        env.run_episode(way)
    seconds = np.empty((7, 2))
    for turn in seconds:
        for number, way in enumerate(ways):
            begun = time.process_time()
            env.run_episode(way)
            turn[number] = time.process_time() - begun
    whole, by_events = np.median(seconds, axis=0)
    assert by_events > 3 * whole
