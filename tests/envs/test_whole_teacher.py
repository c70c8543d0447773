"""A teacher judges episodes that were lived as a whole as it judges them event by event."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lives import assert_same_lives, bold_rule, bold_rules, by_events, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

GRAD = "SNNPlastic-Grad-v0"
SMALL = {
    "dataset": "digits",
    "hidden_sizes": [9, 7],
    "layer_scalars": [0.2, 0.6, 1.0],
    "num_steps": 12,
    "history_length": 12,
    "w_init": 6.0,
    "eta": 0.003,
    "penalty": 0.3,
    "surrogate": "fast_sigmoid",
}


def stdp(env):
    return make_rule("stdp", learning_rate=0.05)


@pytest.mark.parametrize("kinds", ["pre", "post", "merged"])
@pytest.mark.parametrize("rule_of", [stdp, lambda env: formula(env, ["pre", "post*x20", "pre*w*layer", "pre*y20"]),
                                     bold_rule], ids=["stdp", "formula", "heads"])  # fmt: skip
def test_every_way_of_learning(rule_of, kinds):
    lived = assert_same_lives(GRAD, {**SMALL, "event_kinds": kinds}, rule_of, images=4, num_envs=3)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


def test_heads_of_each_lifetimes_own():
    lived = assert_same_lives(GRAD, SMALL, bold_rules, images=3, num_envs=3)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


@given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    surrogate=st.sampled_from(["rectangular", "polynomial", "sigmoid", "gaussian", "fast_sigmoid"]),
    num_steps=st.integers(1, 12),
    num_envs=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@example(sizes=[1], surrogate="gaussian", num_steps=8, num_envs=3, seed=1)  # gradients of 1e-23
@settings(max_examples=10)
def test_networks_of_any_depth(sizes, surrogate, num_steps, num_envs, seed):
    layers = {"hidden_sizes": sizes, "layer_scalars": [1.0] * (len(sizes) + 1)}
    config = {**SMALL, **layers, "surrogate": surrogate, "num_steps": num_steps, "history_length": num_steps}

    def rule(env):
        return formula(env, ["pre", "post*x20", "pre*w"], seed)

    assert_same_lives(GRAD, config, rule, images=3, num_envs=num_envs, seed=seed)


def test_threads_change_nothing():
    def lived(threads):
        torch.set_num_threads(threads)
        env = PlasticityVectorEnv(GRAD, num_envs=5, **SMALL)
        env.reset(seed=1)
        rule = stdp(env)
        return [env.run_episode(rule).terms for _ in range(3)], env.engine.network.weights

    before = torch.get_num_threads()
    try:
        (one, weights), (other, others) = lived(1), lived(3)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(weights, others)
    for terms, same in zip(one, other, strict=True):
        for name, values in terms.items():
            torch.testing.assert_close(values, same[name], rtol=0, atol=0, equal_nan=True)


def test_lifetimes_in_which_nothing_learns_any_more():
    env = PlasticityVectorEnv(GRAD, num_envs=2, **SMALL, plastic_episodes=2)
    env.reset(seed=1)
    rule = stdp(env)
    for _ in range(2):
        assert (env.run_episode(rule).terms["active_1"] > 0).all()
    assert env.lives_whole(rule)
    terms = env.run_episode(rule).terms
    assert not terms["active_1"].any() and not terms["alignment"].any() and (terms["loss"] > 0).all()
    assert terms["sign_agreement_1"].isnan().all()


@pytest.mark.parametrize("settings", [{"modulation": "reward"}, {"event_kinds": "split"}])
def test_what_the_teacher_cannot_follow_is_left_to_events(settings):
    env = PlasticityVectorEnv(GRAD, num_envs=2, **{**SMALL, **settings})
    env.reset(seed=1)
    env.run_episode(by_events(stdp(env)))
    assert not env.lives_whole(stdp(env))
