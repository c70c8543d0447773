"""Rules that look at nothing."""

import torch
from toys import SMALL

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules.constant import RandomRule, ZeroRule


def lived(rule) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights before and after one image."""
    env = PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=2, **SMALL)
    env.reset(seed=0)
    before = env.engine.network.weights.clone()
    while (events := env.events()) is not None:
        env.apply(rule(events))
    return before, env.engine.network.weights


def test_zero_leaves_every_weight_alone():
    before, after = lived(ZeroRule())
    assert torch.equal(before, after)


def test_random_moves_weights_by_its_sigma_and_seed():
    before, after = lived(RandomRule(0.1, seed=1))
    assert not torch.equal(before, after)
    assert torch.equal(after, lived(RandomRule(0.1, seed=1))[1])
    assert not torch.equal(after, lived(RandomRule(0.1, seed=2))[1])
    draws = torch.cat([RandomRule(0.3, seed=s)(type("E", (), {"weight": torch.zeros(1000)})) for s in range(10)])
    assert abs(draws.std().item() - 0.3) < 0.01 and abs(draws.mean().item()) < 0.01
