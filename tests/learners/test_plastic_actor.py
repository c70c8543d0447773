"""Codes and policy of a plastic network that acts."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.plastic_actor import PlasticActor

CONFIG = {"world": "w", "learner": "ppo", "hidden_size": 4, "fields": 3, "action_ms": 2000, "group_size": 4}
OBSERVED = spaces.Box(np.array([0, -2], np.float32), np.array([4, 2], np.float32))
FORCE = spaces.Box(np.array([-3, 0], np.float32), np.array([3, 1], np.float32))


def actor_of(actions=FORCE, observations=OBSERVED, **settings) -> PlasticActor:
    config = PlasticConfig(**(CONFIG | settings))
    return PlasticActor(config, observations, actions, torch.Generator().manual_seed(0))


def test_input_spikes_follow_the_supplement():
    """max(0.05, exp(-15 (c - x)^2)), with centres -1, 0, 1 of observations mapped to [-1, 1]."""
    spikes = actor_of().encode(torch.tensor([[2.5, 9.0]]), np.random.default_rng(0))  # 0.25, and 1 after the cut
    bells = [max(0.05, math.exp(-15 * (centre - x) ** 2)) for x in (0.25, 1.0) for centre in (-1, 0, 1)]
    assert spikes.shape == (2000, 1, 6) and spikes.dtype == torch.bool
    assert torch.allclose(spikes[:, 0].float().mean(dim=0), torch.tensor(bells), atol=0.03)
    assert spikes[:, 0, 5].all()


def test_actions_are_the_signed_mean_of_output_spikes():
    actor = actor_of(action_ms=10, decoder_gain=2.0)
    counts = torch.tensor([[3.0, 1, 1, 0, 0, 0, 2, 3], [0, 0, 0, 0, 10, 10, 0, 0]])  # 3 and -5 ahead; 0 and 20
    decoded = actor.most_likely(counts)
    assert torch.allclose(decoded, torch.tensor([[2 / 10 * 3 / 2, -2 / 10 * 5 / 2], [0.0, 1.0]]))
    assert torch.allclose(actor.to_world(decoded), torch.tensor([[0.9, 0.25], [0.0, 1.0]]))
    drawn = actor.draw(actor.policy(counts.repeat(4000, 1)), torch.Generator().manual_seed(0))
    assert torch.allclose(drawn[::2].std(dim=0), torch.full((2,), 0.5), atol=0.02)
    assert actor.to_world(10 * drawn).abs().amax(dim=0).tolist() == [3.0, 1.0]


def test_discrete_actions_are_drawn_by_softmax_of_mean_spikes():
    actor = actor_of(spaces.Discrete(2), decoder_gain=2.0)
    counts = torch.tensor([[2.0, 2, 0, 0, 0, 0, 0, 0]])
    chance = actor.policy(counts).probs[0, 0]
    assert chance == pytest.approx(1 / (1 + math.exp(-2.0 * 1.0)))
    assert actor.most_likely(counts).tolist() == [0] and actor.log_deviation is None
    slipped = actor.disturb(torch.zeros(4000, dtype=torch.int64), 0.3, torch.Generator().manual_seed(0))
    assert slipped.float().mean() == pytest.approx(0.3, abs=0.03)


def test_gradients_reach_network_deviation_and_critic():
    actor = actor_of(action_ms=30)
    inputs = actor.encode(torch.tensor([[1.0, 0.0], [3.0, 1.0]]), np.random.default_rng(0)).float()
    done, _ = actor.network.carry_on(actor.network.rest(2), inputs)
    policy = actor.policy(done.output.sum(dim=0))
    loss = policy.log_prob(torch.full((2, 2), 0.7)).sum() + actor.value(torch.ones(2, 2)).sum()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in actor.parameters())


def test_bounds_that_are_missing_are_said():
    endless = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    with pytest.raises(ConfigError, match=r"observation_low and observation_high of w: .* no bounds for observation 0"):
        actor_of(observations=endless)
    assert actor_of(observations=endless, observation_low=(0.0, 0.0), observation_high=(1.0, 1.0)).network is not None
    with pytest.raises(ConfigError, match="actions of w must have bounds"):
        actor_of(endless)
