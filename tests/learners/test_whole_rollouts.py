"""Rules that are drawn for whole lifetimes live through whole episodes in compiled loops while they are learned."""

import pytest
import torch

from snn_plasticity_gym import EventA2C, EventES, make_sb3_env
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.learners import exploration, head_noise
from snn_plasticity_gym.learners.exploration import RuleNoise
from snn_plasticity_gym.learners.head_noise import HeadNoise

SETTINGS = {"dataset": "digits", "n_exc": 8, "num_steps": 25, "history_length": 25, "max_rate": 0.1}
SETTINGS |= {"gain_input_exc": 2.0, "eta_exc": 0.05, "lifetime_length": 3, "common_noise": True}
FORMULA = {"formula_terms": ["post*x20", "post", "pre*w", "post*w"]}
HEADS = {"hidden_sizes": [6, 5], "channels": [3, 4]}


def learn(algorithm, episodes, policy, **options):
    """Parameters of the heads after a short run, and its learner."""
    env = make_sb3_env("SNNPlastic-Unsup1-v0", num_envs=6, **SETTINGS)
    options = {"credit_horizon": 3} | options
    model = algorithm("PlasticityPolicy", env, n_steps=3, seed=2, policy_kwargs=policy, **options)
    model.learn(10**9, episodes=episodes)
    coefficients = torch.cat([parameter.flatten() for parameter in model.policy.rule.heads.parameters()])
    return coefficients.detach(), model


@pytest.fixture
def ways(monkeypatch):
    """Whether each episode was lived as a whole."""
    seen, run_episode, run_series = [], Engine.run_episode, Engine.run_series

    def together(engine, rule, count):
        results = run_series(engine, rule, count)
        seen.extend(True for _ in results)
        return results

    monkeypatch.setattr(Engine, "run_episode", lambda engine, rule: seen.append(run_episode(engine, rule)) or seen[-1])
    monkeypatch.setattr(Engine, "run_series", together)
    return seen


@pytest.mark.parametrize("policy", [FORMULA, HEADS], ids=["formula", "heads"])
def test_an_evolution_strategy_learns_the_same_either_way(policy, ways, monkeypatch):
    whole, _ = learn(EventES, 54, policy)
    assert sum(ways) == 6  # but for the first generation, which only measures
    monkeypatch.setattr(HeadNoise, "whole", lambda self, rule: None)
    ways.clear()
    by_events, _ = learn(EventES, 54, policy)
    assert not any(ways)
    torch.testing.assert_close(whole, by_events, rtol=1e-4, atol=1e-5)
    assert whole.abs().max() > 0.01


@pytest.mark.parametrize("perturb", ["head", "last"])
@pytest.mark.parametrize("policy", [FORMULA, HEADS], ids=["formula", "heads"])
def test_a2c_measures_in_the_first_episode_of_a_rollout(policy, perturb, ways):
    coefficients, model = learn(EventA2C, 54, policy, exploration="rule", perturb=perturb)
    assert sum(ways) == 2  # the first two have the 32 steps of 25 each that are measured
    assert coefficients.abs().max() > 0.001
    assert torch.isfinite(coefficients).all() and model.num_episodes == 54


@pytest.mark.parametrize("drawn_for", [1, 3], ids=["anew for each episode", "once for a rollout"])
@pytest.mark.parametrize("policy", [FORMULA, HEADS], ids=["formula", "heads"])
def test_perturbed_last_layers_are_the_same_either_way(policy, drawn_for, ways, monkeypatch):
    """What is measured is the same, since whole episodes begin after it here."""
    options = {"exploration": "rule", "perturb": "last", "credit_horizon": drawn_for}
    monkeypatch.setattr(exploration, "MEASURED_STEPS", 1)

    def measured_once(noise, rule, events):
        kept = noise._moments
        answers = act(noise, rule, events)
        if noise.ready and noise._steps > 25:  # those of the first episode alone
            noise._moments = kept
        return answers

    act = RuleNoise.act
    monkeypatch.setattr(RuleNoise, "act", measured_once)
    whole, _ = learn(EventA2C, 72, policy, **options)
    assert any(ways)
    monkeypatch.setattr(RuleNoise, "whole", lambda self, rule: None)
    ways.clear()
    by_events, _ = learn(EventA2C, 72, policy, **options)
    assert not any(ways)
    torch.testing.assert_close(whole, by_events, rtol=1e-4, atol=1e-5)
    assert whole.abs().max() > 0.001


@pytest.mark.parametrize("reward", ["sum", "information", "reconstruction"])
@pytest.mark.parametrize("algorithm", [EventA2C, EventES])
def test_rollouts_of_several_images_in_a_call_are_those_of_one_by_one(algorithm, reward, monkeypatch):
    monkeypatch.setattr(exploration, "MEASURED_STEPS", 1)
    together, run_series = [], Engine.run_series

    def counting(engine, rule, count):
        results = run_series(engine, rule, count)
        together.append(len(results))
        return results

    def learned():
        env = make_sb3_env("SNNPlastic-Unsup1-v0", num_envs=4, **SETTINGS, reward_form=reward, w_exc_sum=20.0)
        rule = {} if algorithm is EventES else {"exploration": "rule"}
        model = algorithm("PlasticityPolicy", env, n_steps=6, seed=2, policy_kwargs=FORMULA, credit_horizon=3, **rule)
        model.learn(10**9, episodes=72)
        return model.policy.rule.state_dict(), model.num_timesteps

    monkeypatch.setattr(Engine, "run_series", counting)
    found = learned()
    assert sum(together) >= 10 and max(together) == 3  # no more than the lives of a rule
    monkeypatch.setattr(Engine, "run_series", lambda engine, rule, count: [])
    torch.testing.assert_close(found, learned(), rtol=0, atol=0)


def test_the_first_generation_goes_by_events_no_longer_than_it_measures(ways, monkeypatch):
    monkeypatch.setattr(head_noise, "FIRST_STEPS", 20)
    learn(EventES, 18, HEADS)
    assert ways == [True, True]  # the first of three has 25 steps
