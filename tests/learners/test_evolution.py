"""EventES: what it learns on a bandit, whose random numbers it uses, and which rules its lifetimes follow."""

import copy

import numpy as np
import pytest
import torch
from batches import K, events_of, generator, network_of, repeated
from toys import QUICK_FRONT, BanditEnv, bandit, bandit_answers

from snn_plasticity_gym.config.learning import WholeRuleOptions
from snn_plasticity_gym.learners.evolution import EventES, EvolvedHeads
from snn_plasticity_gym.policies.policy import FrozenRule


def bandit_model(hidden_size: int = 8, **arguments) -> EventES:
    policy = QUICK_FRONT | {"sigma": 0.03, "hidden_sizes": (hidden_size,)}
    return EventES("PlasticityPolicy", bandit(32), policy_kwargs=policy, **({"seed": 0} | arguments))


def error(model: EventES) -> float:
    """Distance of the mean rule's answers in an image of the bandit from the best one; 0.5 before learning."""
    return (bandit_answers(model) - BanditEnv.target).abs().mean().item()


@pytest.mark.parametrize("arguments", [{}, {"covariance": "full", "hidden_size": 2, "seed": 1}, {"n_steps": 2}])
def test_the_bandit_is_learned(arguments):
    model = bandit_model(**arguments)
    model.learn(32 * 4 * 40)
    assert error(model) < 0.1


def test_the_bandit_is_not_learned_when_returns_have_the_wrong_sign(monkeypatch):
    right = EvolvedHeads.learn
    monkeypatch.setattr(EvolvedHeads, "learn", lambda self, returns: right(self, -returns))
    model = bandit_model()
    model.learn(32 * 4 * 40)
    assert error(model) > 0.6


def evolved(population: int, num_lifetimes: int) -> tuple[EvolvedHeads, torch.nn.Module, object]:
    """Heads that have measured a rollout, and are about to draw rules; the network and events of `num_lifetimes`."""
    network, events = network_of(groups=2), repeated(events_of([12]), num_lifetimes)
    policy = torch.nn.Module()
    policy.rule, policy.sigma = network, 0.2
    heads = EvolvedHeads(policy, generator(3), WholeRuleOptions(), population)
    heads.begin_rollout()
    heads.perturb(num_lifetimes)
    torch.testing.assert_close(heads.act(FrozenRule(network, K), events)[0], FrozenRule(network, K)(events))
    heads.begin_rollout()
    return heads, network, events


def test_every_lifetime_follows_the_rule_that_it_was_given():
    heads, network, events = evolved(population=6, num_lifetimes=3)
    for draw in range(2):  # a generation is given out in two parts
        heads.perturb(3)
        answers, _ = heads.act(FrozenRule(network, K), events)
        for lifetime, shift in enumerate(heads.drawn[draw]):
            moved = copy.deepcopy(network)
            heads.move(moved, shift)
            own = slice(12 * lifetime, 12 * lifetime + 12)
            torch.testing.assert_close(answers[own], FrozenRule(moved, K)(events)[own], rtol=1e-2, atol=1e-3)
    assert len(torch.cat(heads.drawn).unique(dim=0)) == 6


def test_the_heads_move_to_the_mean_of_the_strategy_with_scales_that_stay():
    heads, network, events = evolved(population=6, num_lifetimes=3)
    expected, scales = copy.deepcopy(network), list(heads.scales)
    for _ in range(3):
        for _ in range(2):
            heads.perturb(3)
            heads.act(FrozenRule(network, K), events)
        heads.learn(torch.cat(heads.drawn).square().sum(dim=1))
        heads.begin_rollout()
    heads.move(expected, torch.from_numpy(heads.strategy.mean).float())
    assert heads.scales == scales and np.abs(heads.strategy.mean).max() > 0.01
    for value, target in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(value, target, rtol=1e-4, atol=1e-5)


def test_the_seed_fixes_everything_and_no_global_generator_is_touched():
    models = [bandit_model(seed=seed) for seed in (3, 3, 4)]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    for model in models:
        model.learn(32 * 4 * 4)
    first, again, other = (
        torch.nn.utils.parameters_to_vector(model.policy.rule.heads.parameters()) for model in models
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
