"""The judge is fair: rules that do the same get the same, whatever was done before."""

import math

import pytest
import torch
from toys import SMALL

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.reward import reward_of, rewards_of_networks, run_episodes
from snn_plasticity_gym.rules.constant import RandomRule, ZeroRule

ID = "SNNPlastic-Unsup1-v0"
CONFIG = environment_config(ID, **SMALL)


def test_the_report_equals_episodes_counted_by_hand():
    report = reward_of(ZeroRule(), ID, CONFIG, num_lifetimes=3, num_images=7, seed=2)
    assert report.num_images == 9  # rounded up to the same number for each network
    env = PlasticityVectorEnv(ID, num_envs=3, **(SMALL | {"split": "validation"}))
    env.reset(seed=2)
    rewards, sparsities, spikes = [], [], []
    for _ in range(3):
        while (events := env.events()) is not None:
            env.apply(torch.zeros(len(events.weight)))
        result = env.finish()
        rewards += result.reward.tolist()
        sparsities += result.terms["sparsity"].tolist()
        spikes += result.spikes["exc"].tolist()
    assert report.reward == pytest.approx(sum(rewards) / 9)
    assert report.terms["sparsity"] == pytest.approx(sum(sparsities) / 9)
    assert report.spikes["exc"] == pytest.approx(sum(spikes) / 9)
    assert report.as_dict()["images"] == 9


def test_the_same_rule_gets_the_same_and_another_does_not():
    def judge(rule, seed: int = 0) -> float:
        return reward_of(rule, ID, CONFIG, num_lifetimes=4, num_images=40, seed=seed).reward

    assert judge(RandomRule(1.0, seed=1)) == judge(RandomRule(1.0, seed=1))
    assert judge(ZeroRule()) != judge(RandomRule(1.0))
    assert judge(ZeroRule()) != judge(ZeroRule(), seed=1)


def test_the_training_split_is_not_shown():
    shown = []

    class Spy(PlasticityVectorEnv):
        def run_episodes(self, rule, count):
            shown.extend([self.config.split] * count)
            return super().run_episodes(rule, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snn_plasticity_gym.evaluation.reward.PlasticityVectorEnv", Spy)
        report = reward_of(ZeroRule(), ID, CONFIG, num_lifetimes=1, num_images=2, seed=0)
    assert shown == ["validation"] * 2 and math.isfinite(report.reward)


LEARNING = environment_config(ID, **(SMALL | {"plastic_episodes": 2, "lifetime_length": 5, "common_noise": True}))


def test_where_plasticity_ends_only_what_follows_counts():
    report = reward_of(ZeroRule(), ID, LEARNING, num_lifetimes=2, num_images=14, seed=3)  # 7 images each
    env = PlasticityVectorEnv(ID, num_envs=2, **(to_dict(LEARNING) | {"split": "validation"}))
    env.reset(seed=3)
    rewards = [env.run_episode(ZeroRule()).reward for _ in range(7)]
    assert report.num_images == 6
    assert report.reward == pytest.approx(torch.stack(rewards[2:5]).mean().item())


def test_images_that_all_belong_to_plasticity_are_refused():
    with pytest.raises(ConfigError, match=r"must be at least 5, since 2 networks .* plastic_episodes=2 .* got 4"):
        reward_of(ZeroRule(), ID, LEARNING, num_lifetimes=2, num_images=4, seed=3)
    assert reward_of(ZeroRule(), ID, LEARNING, num_lifetimes=2, num_images=5, seed=3).num_images == 2


def test_judged_networks_differ_where_lifetimes_learn_in_a_common_one():
    common = environment_config(ID, **(to_dict(LEARNING) | {"common_network": True}))
    reports = [reward_of(ZeroRule(), ID, each, num_lifetimes=2, num_images=14, seed=3) for each in (LEARNING, common)]
    assert reports[0].reward == reports[1].reward
    apart, judged = (run_episodes(ZeroRule(), ID, each, 2, 3, seed=3)[0].rates for each in (LEARNING, common))
    assert torch.equal(apart, judged) and not torch.equal(judged[0], judged[1])


def test_the_reward_of_a_network_does_not_depend_on_the_others():
    alone, both = (rewards_of_networks(ZeroRule(), ID, LEARNING, number, seed=3) for number in (1, 2))
    assert both["reward"].shape == (2,) and both["reward"][0] == alone["reward"][0]
    assert both["reward"][0] != both["reward"][1]  # images of its own, whatever common_noise says
