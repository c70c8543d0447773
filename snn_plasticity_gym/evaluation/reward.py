"""Reward of a frozen rule: the same fresh networks, images and input spikes for every rule evaluated."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.engine import EpisodeResult
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules import Rule

JUDGE_SEED = 1_000_000_007  # of the networks and images that rules are evaluated on; far from the seeds that runs draw


class RewardReport(NamedTuple):
    """Means over all evaluated episodes."""

    reward: float
    terms: dict[str, float]  # over the episodes for which a term has a value
    spikes: dict[str, float]  # per episode and population
    num_images: int

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers in one flat mapping."""
        spikes = {f"spikes_{name}": value for name, value in self.spikes.items()}
        return {"reward": self.reward, **self.terms, **spikes, "images": self.num_images}


def reward_of(
    rule: Rule, env_id: str, config: EnvironmentConfig, num_lifetimes: int, num_images: int, seed: int
) -> RewardReport:
    """Run fresh networks with a rule, plasticity on, and return their mean reward.

    Where plasticity ends after `plastic_episodes`, only the episodes that follow count: they measure what was learned.

    Args:
        rule: Plasticity rule; called without gradient.
        env_id: Environment.
        config: Its settings; of images, those of the validation split are shown whatever `split` is.
        num_lifetimes: Networks side by side, with seeds seed, seed + 1, ...
        num_images: Episodes in all, rounded up to the same number for each network.
        seed: Of networks, episodes and input spikes. The same seed gives every rule the same ones.

    Raises:
        ConfigError: None of the episodes counts.
    """
    check_images(config, num_lifetimes, num_images)
    results = run_episodes(rule, env_id, config, num_lifetimes, -(-num_images // num_lifetimes), seed)
    rewards = torch.cat([result.reward for result in results])  # (images,)
    terms = {name: torch.cat([result.terms[name] for result in results]) for name in results[0].terms}
    spikes = {name: torch.cat([result.spikes[name] for result in results]) for name in results[0].spikes}
    return RewardReport(
        reward=rewards.mean().item(),
        terms={name: values.nanmean().item() for name, values in terms.items() if not values.isnan().all()},
        spikes={name: values.float().mean().item() for name, values in spikes.items()},
        num_images=len(rewards),
    )


def check_images(config: EnvironmentConfig, num_lifetimes: int, num_images: int, name: str = "num_images") -> None:
    """Check that a setting `name` gives enough images for some to follow the plastic episodes.

    Raises:
        ConfigError: No image would count.
    """
    least = config.plastic_episodes * num_lifetimes + 1
    if config.plastic_episodes and num_images < least:
        raise ConfigError(
            f"{name} must be at least {least}, since {num_lifetimes} networks are plastic for "
            f"plastic_episodes={config.plastic_episodes} each and only what follows counts, got {num_images}"
        )


@torch.no_grad()
def run_episodes(
    rule: Rule, env_id: str, config: EnvironmentConfig, num_lifetimes: int, images_each: int, seed: int
) -> list[EpisodeResult]:
    """Run fresh networks with a rule on validation data; return the results of the episodes that count.

    Args:
        rule, env_id, config, num_lifetimes, seed: As in `reward_of`.
        images_each: Episodes of each network.
    """
    settings = to_dict(config) | config.held_out("validation") | {"common_network": False}
    env = PlasticityVectorEnv(env_id, num_envs=num_lifetimes, **settings)
    env.reset(seed=seed)
    results = env.run_episodes(rule, images_each)
    env.close()
    lifetime = config.lifetime_length or images_each
    return [result for k, result in enumerate(results) if k % lifetime >= config.plastic_episodes]


def rewards_of_networks(
    rule: Rule, env_id: str, config: EnvironmentConfig, num_networks: int, seed: int
) -> dict[str, Tensor]:
    """Return the mean reward and terms of lifetimes after their plasticity has ended, (B,) each.

    Every network has separate images and input spikes, whatever `common_noise` is.

    Args:
        rule, env_id, config, seed: As in `reward_of`; `config` with a `lifetime_length` and fewer `plastic_episodes`.
        num_networks: B.
    """
    alone = type(config)(**(to_dict(config) | {"common_noise": False}))
    results = run_episodes(rule, env_id, alone, num_networks, config.lifetime_length, seed)
    values = {"reward": torch.stack([result.reward for result in results])}  # (images, B)
    values |= {name: torch.stack([result.terms[name] for result in results]) for name in results[0].terms}
    return {name: value.double().nanmean(dim=0).cpu() for name, value in values.items()}
