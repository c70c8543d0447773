"""Eligibility against a loop over steps that decays every trace at every step."""

import math

import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges
from snn_plasticity_gym.rules import make_rule

ID = "SNNPlastic-Unsup2-v0"
SMALL = {"dataset": "digits", "n_exc": 6, "num_steps": 12, "history_length": 12, "gain_input_exc": 6.0, "max_rate": 0.1}
HELD = {**SMALL, "modulation": "reward", "tau_eligibility": 5.0, "reward_window": 2.0, "eta_exc": 0.2, "eta_inh": 0.1}


@pytest.mark.parametrize("kinds", ["merged", "split"])
def test_weights_against_a_loop_over_steps(kinds):
    env = PlasticityVectorEnv(ID, num_envs=2, event_kinds=kinds, **HELD)
    env.reset(seed=0)
    network, rule = env.engine.network, make_rule("stdp", scale=0.1)
    limits = {p.name: p.plasticity for p in network.projections if p.plasticity}
    rewards = [[], []]
    moved = 0.0
    for _ in range(5):
        before = network.weights.clone()
        traces = torch.zeros_like(before)
        step = 0
        while (events := env.events()) is not None:
            if int(env.engine.steps[0]) > step:  # a step may have two phases
                traces *= math.exp(-1.0 / 5.0) if step else 0.0
                step = int(env.engine.steps[0])
            delta_d = rule(events)
            scale = torch.tensor([limits[p.name].scale for p in env.engine._find_events.projections])
            traces[events.synapse] += scale[events.projection] * delta_d.clamp(-1, 1)
            assert torch.equal(network.weights, before), "nothing moves before the reward is known"
            env.apply(delta_d)
        result = env.finish()
        for name, plasticity in limits.items():
            for row in range(2):
                mean = None
                for place, past in enumerate(rewards[row]):  # plain at first, then with a time constant of 2 images
                    mean = past if place == 0 else mean + (past - mean) / min(place + 1, 2.0)
                surprise = 0.0 if mean is None else float(result.reward[row]) - mean
                held = network.part(traces, name)[row]
                expected = network.part(before, name)[row] + surprise * held
                expected = torch.where(held == 0, network.part(before, name)[row], expected)
                expected = expected.clamp(plasticity.w_min, plasticity.w_max)
                torch.testing.assert_close(network.weights_of(name)[row], expected, rtol=0, atol=1e-6)
        moved = max(moved, float((network.weights - before).abs().max()))
        for row in range(2):
            rewards[row].append(float(result.reward[row]))
    assert moved > 1e-3


def test_a_new_lifetime_knows_neither_traces_nor_rewards_of_the_last():
    env, other = (PlasticityVectorEnv(ID, num_envs=2, **HELD) for _ in range(2))
    rule = make_rule("reward-stdp", scale=0.1)
    env.reset(seed=3)
    for _ in range(3):
        env.run_episode(rule)
    for _ in range(4):  # in the midst of an image
        env.apply(rule(env.events()))
    for one in (env, other):
        one.reset(seed=8)
        for _ in range(3):
            one.run_episode(rule)
    assert torch.equal(env.engine.network.weights, other.engine.network.weights)


def test_changes_are_counted_when_they_are_made():
    env = PlasticityVectorEnv(ID, num_envs=1, **HELD)
    env.reset(seed=0)
    env.run_episode(make_rule("stdp", scale=0.1))
    assert env.engine.changes.take()["exc_spread"] == 0.0  # the first image has no surprise
    before = env.engine.network.weights_of("input_to_exc").clone()
    env.run_episode(make_rule("stdp", scale=0.1))
    moved = env.engine.network.weights_of("input_to_exc") - before
    held = moved[moved != 0]
    assert len(held) > 10
    assert env.engine.changes.take()["exc_spread"] == pytest.approx(held.std(unbiased=False).item(), rel=0.3)


@pytest.mark.parametrize("told", [False, True], ids=["reward", "factor"])
def test_the_loop_releases_as_torch_does(told):
    """Some lifetimes of several, some traces 0, weights at their limits."""
    env = PlasticityVectorEnv(ID, num_envs=3, **HELD)
    env.reset(seed=0)
    network, plastic = env.engine.network, env.engine.modulation.eligibility
    generator = torch.Generator().manual_seed(1)
    plastic.traces.copy_(torch.randn(plastic.traces.shape, generator=generator))
    plastic.traces[torch.rand(plastic.traces.shape, generator=generator) < 0.3] = 0.0
    rows, surprise = torch.tensor([0, 2]), torch.tensor([0.4, -0.7])
    factors = {"exc": torch.randn(3, 6, generator=generator)} if told else None
    weights, traces = network.weights.clone(), plastic.traces.clone()
    slow, fast = (WeightChanges(["exc", "inh"], torch.device("cpu")) for _ in range(2))
    modulator = surprise if factors is None else {"exc": factors["exc"][rows]}
    for head, moved in plastic.release(rows, modulator):
        slow.add(torch.full_like(moved, head, dtype=torch.int64), moved)
    expected = network.weights.clone(), plastic.traces.clone()
    network.weights.copy_(weights), plastic.traces.copy_(traces)
    plastic.turn_into_changes(rows, surprise, factors, fast)
    torch.testing.assert_close(network.weights, expected[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(plastic.traces, expected[1], rtol=0, atol=1e-7)
    torch.testing.assert_close(fast.sums, slow.sums, rtol=1e-5, atol=1e-4)
    assert not torch.equal(network.weights, weights)


def test_a_rule_that_needs_the_reward_says_so():
    env = PlasticityVectorEnv(ID, num_envs=1, **SMALL)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the rule needs an environment with modulation='reward', this one has 'none'"):
        env.run_episode(make_rule("reward-stdp"))


@pytest.mark.parametrize("env_id", [ID, "SNNPlastic-Grad-v0", "SNNPlastic-Semi-v0", "SNNPlastic-CartPole-v0"])
def test_changes_that_would_wait_for_a_factor_in_vain_are_refused(env_id):
    settings = {} if "CartPole" in env_id else {"dataset": "digits"}
    with pytest.raises(ConfigError, match=r"^modulation factor needs a third_factor, and this environment has none"):
        PlasticityVectorEnv(env_id, num_envs=1, modulation="factor", **settings)


def test_credit_against_a_loop_over_steps():
    """Each change is counted with the sign of the action of its own window, however many actions later it acts."""
    settings = {"steps_per_action": 4, "history_length": 4, "hidden_sizes": [6], "noise": 0.3, "max_actions": 12}
    settings |= {"third_factor": "credited", "modulation": "factor", "tau_eligibility": 9.0, "critic_start": 5.0}
    settings |= {"decoder_kwargs": {"group_size": 3}, "w_init_min": 0.1, "w_init_max": 0.6, "eta": 0.05}
    settings |= {"encoder_kwargs": {"fields": 20, "mean": [0] * 4, "std": [1, 0.5, 0.1, 0.8], "period": 2}}
    env = PlasticityVectorEnv("SNNPlastic-CartPole-v0", num_envs=1, **settings)
    env.reset(seed=4)
    engine, rule = env.engine, make_rule("stdp", scale=0.05)
    network, task = engine.network, engine.task
    expected = network.weights.clone()
    trace, window = torch.zeros_like(expected), torch.zeros_like(expected)
    begun = network.weights_of("hidden_1_to_motor").clone()
    step, actions = 0, []
    while (events := env.events()) is not None:
        if int(engine.steps[0]) > step:
            step = int(engine.steps[0])
            trace, window = math.exp(-1.0 / 9.0) * trace, math.exp(-1.0 / 9.0) * window
        window[events.synapse] += 0.05 * rule(events).clamp(-1, 1)
        env.apply(rule(events))
        if step % 4 == 0:
            action = int(task.last_action[0])
            actions.append(action)
            network.part(window, "hidden_1_to_motor")[0, :, 3 - 3 * action : 6 - 3 * action] *= -1.0
            trace, window = trace + window, torch.zeros_like(window)
            expected = (expected + float(task.factors()["motor"][0, 0]) * trace).clamp(-1.0, 1.0)
            torch.testing.assert_close(network.weights, expected, rtol=0, atol=1e-6)
    assert len(set(actions)) == 2 and len(actions) > 5, "both signs must have been there"
    assert (network.weights_of("hidden_1_to_motor") - begun).abs().max() > 0.01
