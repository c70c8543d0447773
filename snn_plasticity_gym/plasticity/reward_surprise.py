"""Reward prediction error against a running mean."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.kernels.answers import compare_rewards
from snn_plasticity_gym.kernels.closed_loop import Means
from snn_plasticity_gym.utils.state import State, restore_all


class RewardSurprise:
    """R' - mean of the lifetime's R before it; 0 for its first reward.

    The mean is arithmetic at first, later exponentially weighted. Mean reward as baseline: Fremaux,
    Sprekeler & Gerstner, Functional requirements for reward-modulated spike-timing-dependent plasticity (2010), eq. 6.

    Args:
        num_lifetimes: B.
        window: Time constant of the mean, in rewards.
        device: Of the means.
    """

    def __init__(self, num_lifetimes: int, window: float, device: torch.device) -> None:
        self._window = window
        self._mean = torch.zeros(num_lifetimes, device=device)  # of the lifetime's rewards
        self._count = torch.zeros(num_lifetimes, device=device)  # of them

    def forget(self, row: int) -> None:
        """Reset lifetime `row`."""
        self._count[row] = 0.0

    def state_dict(self) -> State:
        """Return the means and their numbers of rewards."""
        return {"mean": self._mean, "count": self._count}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        restore_all(self.state_dict(), state)

    def tables(self) -> Means:
        """Return the means as tables of compiled loops, on the CPU; they change in place."""
        return Means(float(self._window), self._mean.numpy(), self._count.numpy())

    def __call__(self, rows: Tensor, rewards: Tensor) -> Tensor:
        """Return the surprise of the rewards (R,) of the lifetimes `rows`, and update the means."""
        if rows.device.type != "cpu":
            return self.by_operations(rows, rewards)
        surprise = torch.empty(len(rows))
        mean, count = self._mean.numpy(), self._count.numpy()
        compare_rewards(rows.numpy(), rewards.numpy(), self._window, mean, count, surprise.numpy())
        return surprise

    def by_operations(self, rows: Tensor, rewards: Tensor) -> Tensor:
        """Do the same in torch: for other devices, and as the reference for the compiled version."""
        first = self._count[rows] == 0
        surprise = torch.where(first, 0.0, rewards - self._mean[rows])  # (R,)
        self._count[rows] += 1
        step = 1.0 / self._count[rows].clamp(max=self._window)
        self._mean[rows] = torch.where(first, rewards, self._mean[rows] + step * surprise)
        return surprise
