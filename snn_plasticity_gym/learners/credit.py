"""Credit assignment: returns-to-go of lifetimes within an episode, and their mean as a baseline.

Axes: B lifetimes, P reward times, E events, S reward times of all processes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.utils.distributed import World


class EpisodeRewards(NamedTuple):
    """Rewards of an episode of all lifetimes."""

    rewards: Tensor  # (B,)
    fresh: Tensor  # bool (B,), first episode of its lifetime
    step_rewards: Tensor  # (B, P) reward at each reward time
    reward_steps: Tensor  # (P,) reward times, in time steps done, ascending
    length: Tensor  # int64 (B,), time steps; the last one of each lifetime is a reward time
    event_rewards: Tensor | None  # (events of the episode,), where events have separate rewards

    @property
    def num_steps(self) -> int:
        """Time steps of the longest episode."""
        return int(self.reward_steps[-1])

    def without_rewards(self) -> EpisodeRewards:
        """Return this episode with all rewards 0."""
        return self._replace(rewards=torch.zeros_like(self.rewards), step_rewards=torch.zeros_like(self.step_rewards))


def returns_to_go(episode: EpisodeRewards, total: Tensor, gamma: float) -> Tensor:
    """Return each lifetime's return-to-go at each reward time, discounted to that step, (B, P).

    Rewards of later episodes are added at the last step of the lifetime's episode; after it the return-to-go is 0.

    Args:
        episode: Its rewards.
        total: Reward of it and of later episodes of each lifetime, (B,).
        gamma: Discount per time step.
    """
    last = torch.searchsorted(episode.reward_steps, episode.length).unsqueeze(1)  # (B, 1)
    end = total.unsqueeze(1) - (episode.rewards.unsqueeze(1) - episode.step_rewards.gather(1, last))  # (B, 1)
    ahead = episode.step_rewards.scatter(1, last, end)  # (B, P)
    gaps = episode.reward_steps.diff().tolist()
    for place in reversed(range(len(gaps))):
        ahead[:, place] += gamma ** gaps[place] * ahead[:, place + 1]
    return ahead


def mean_return_to_go(episode: EpisodeRewards, ahead: Tensor, gamma: float, world: World) -> Tensor:
    """Return the mean of `returns_to_go` over the lifetimes of all processes whose episode is not over, (P,).

    Args:
        episode: Its rewards.
        ahead: Its returns, (B, P).
        gamma: Discount per time step.
        world: Processes, whose reward times may differ.
    """
    own = episode.reward_steps
    steps, returns = own, ahead  # (S,), (B, S)
    if world.size > 1:
        steps = _union(own, world)
        place = torch.searchsorted(own, steps)  # (S,) next reward time here
        place = place.clamp(max=len(own) - 1)
        returns = ahead[:, place] * gamma ** (own[place] - steps).clamp(min=0).to(ahead.dtype)
    running = (steps <= episode.length.unsqueeze(1)).to(ahead.dtype)  # (B, S)
    total, count = world.all_sum((returns * running).sum(dim=0)), world.all_sum(running.sum(dim=0))  # (S,) both
    mean = total / count.clamp(min=1.0)
    return mean if steps is own else mean[torch.searchsorted(steps, own)]


def _union(own: Tensor, world: World) -> Tensor:
    """Return the reward times of all processes, ascending, (S,)."""
    longest = int(world.join(own[-1:], dim=0).max())
    rewarded = torch.zeros(longest + 1, device=own.device)
    rewarded[own] = 1.0
    return world.all_sum(rewarded).nonzero().squeeze(1)
