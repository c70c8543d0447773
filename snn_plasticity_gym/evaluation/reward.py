"""The reward that a frozen rule earns: the same fresh networks, images and input spikes for every rule judged."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules import Rule

JUDGE_SEED = 1_000_000_007  # of the networks and images that rules are judged on; far from the seeds that runs draw


class RewardReport(NamedTuple):
    """Means over all images shown."""

    reward: float
    terms: dict[str, float]  # over the images for which a term has a value
    spikes: dict[str, float]  # per image and population
    num_images: int

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers in one flat mapping."""
        spikes = {f"spikes_{name}": value for name, value in self.spikes.items()}
        return {"reward": self.reward, **self.terms, **spikes, "images": self.num_images}


def reward_of(
    rule: Rule, env_id: str, config: EnvironmentConfig, num_lifetimes: int, num_images: int, seed: int
) -> RewardReport:
    """Let fresh networks live by a rule, plasticity on, and return the reward they earn.

    Args:
        rule: Answers events; called without gradient.
        env_id: Environment.
        config: Its settings; the validation split is shown whatever `split` says.
        num_lifetimes: Networks side by side, with seeds seed, seed + 1, ...
        num_images: Images in all, rounded up to the same number for each network.
        seed: Of networks, images and input spikes. The same seed gives every rule the same ones.
    """
    settings = to_dict(config) | {"split": "validation"}
    env = PlasticityVectorEnv(env_id, num_envs=num_lifetimes, **settings)
    env.reset(seed=seed)
    results = []
    with torch.no_grad():
        for _ in range(-(-num_images // num_lifetimes)):
            results.append(env.live(rule))
    rewards = torch.cat([result.reward for result in results])  # (images,)
    terms = {name: torch.cat([result.terms[name] for result in results]) for name in results[0].terms}
    spikes = {name: torch.cat([result.spikes[name] for result in results]) for name in results[0].spikes}
    return RewardReport(
        reward=rewards.mean().item(),
        terms={name: values.nanmean().item() for name, values in terms.items() if not values.isnan().all()},
        spikes={name: values.float().mean().item() for name, values in spikes.items()},
        num_images=len(rewards),
    )
