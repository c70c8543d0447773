"""Credit: what a lifetime earns from each time step on, and how much better that is than what others earned.

Axes: B lifetimes, P payments, E events, S steps at which somebody was paid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.utils.distributed import World


class Pay(NamedTuple):
    """What an episode was worth."""

    rewards: Tensor  # (B,)
    fresh: Tensor  # bool (B,), first of its lifetime
    payments: Tensor  # (B, P) what was paid when
    payment_steps: Tensor  # (P,) number of time steps done then, ascending
    length: Tensor  # int64 (B,), time steps; the last one of each lifetime was paid
    event_rewards: Tensor | None  # (events of the episode,), where events have their own

    @property
    def num_steps(self) -> int:
        """Time steps of the episode that was the longest."""
        return int(self.payment_steps[-1])

    def unpaid(self) -> Pay:
        """Return an episode like this one that was worth nothing."""
        return self._replace(rewards=torch.zeros_like(self.rewards), payments=torch.zeros_like(self.payments))


def returns_ahead(pay: Pay, total: Tensor, gamma: float) -> Tensor:
    """Return what each lifetime earns from each payment on, discounted to that step, (B, P).

    What later episodes are worth is paid at the last step of the lifetime's own episode; after it there is nothing.

    Args:
        pay: The episode.
        total: What it and later episodes are worth to each lifetime, (B,).
        gamma: Discount per time step.
    """
    last = torch.searchsorted(pay.payment_steps, pay.length).unsqueeze(1)  # (B, 1)
    end = total.unsqueeze(1) - (pay.rewards.unsqueeze(1) - pay.payments.gather(1, last))  # (B, 1)
    ahead = pay.payments.scatter(1, last, end)  # (B, P)
    gaps = pay.payment_steps.diff().tolist()
    for place in reversed(range(len(gaps))):
        ahead[:, place] += gamma ** gaps[place] * ahead[:, place + 1]
    return ahead


def mean_ahead(pay: Pay, ahead: Tensor, gamma: float, world: World) -> Tensor:
    """Return the mean of `returns_ahead` over the lifetimes of all processes whose episode goes on by then, (P,).

    Args:
        pay: The episode.
        ahead: Its returns, (B, P).
        gamma: Discount per time step.
        world: Processes, in which payments may fall on other steps.
    """
    own = pay.payment_steps
    steps, returns = own, ahead  # (S,), (B, S)
    if world.size > 1:
        steps = _union(own, world)
        place = torch.searchsorted(own, steps)  # (S,) next payment here
        place = place.clamp(max=len(own) - 1)
        returns = ahead[:, place] * gamma ** (own[place] - steps).clamp(min=0).to(ahead.dtype)
    running = (steps <= pay.length.unsqueeze(1)).to(ahead.dtype)  # (B, S)
    total, count = world.all_sum((returns * running).sum(dim=0)), world.all_sum(running.sum(dim=0))  # (S,) both
    mean = total / count.clamp(min=1.0)
    return mean if steps is own else mean[torch.searchsorted(steps, own)]


def _union(own: Tensor, world: World) -> Tensor:
    """Return the steps at which lifetimes of some process were paid, ascending, (S,)."""
    longest = int(world.join(own[-1:], dim=0).max())
    paid = torch.zeros(longest + 1, device=own.device)
    paid[own] = 1.0
    return world.all_sum(paid).nonzero().squeeze(1)
