"""Decay of learning rates with age; statistics of weights and of applied weight changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import LINEAR
from snn_plasticity_gym.networks.network import Network


def learning_pace(ages: NDArray[np.int64], eta_decay: float, schedule: str) -> Tensor:
    """Return the factor of the learning rates at the age of each lifetime.

    With `inverse` it is 1 / (1 + age / eta_decay): the sum of such steps diverges, and that of their squares converges,
    as a stochastic approximation needs (Robbins & Monro, A stochastic approximation method, 1951, eq. 4
    and 5). With `linear` it is 1 - age / (2 eta_decay), and 0 afterwards: for a lifetime of known length.

    Args:
        ages: Episodes that each lifetime has gone through, (B,).
        eta_decay: Episodes after which learning rates are halved; 0: constant.
        schedule: A name in `config.base.ETA_SCHEDULES`.

    Returns:
        float32 (B,).
    """
    if not eta_decay:
        return torch.ones(len(ages))
    halves = ages / eta_decay  # (B,)
    left = np.maximum(1.0 - halves / 2.0, 0.0) if schedule == LINEAR else 1.0 / (1.0 + halves)
    return torch.from_numpy(left).float()


class WeightChanges:
    """Statistics of the applied weight changes, by policy head.

    Args:
        heads: Names of the heads.
        device: Of the sums.
    """

    def __init__(self, heads: Sequence[str], device: torch.device) -> None:
        self._heads = heads
        self.sums = torch.zeros(4, len(heads), dtype=torch.float64, device=device)  # count, sum, squares, rises

    def add(self, head: Tensor, change: Tensor) -> None:
        """Add the changes (E,) of events of the given heads (E,)."""
        if len(self._heads) == 1:
            self.sums[0] += len(change)
            self.sums[1] += change.sum()
            self.sums[2] += change.square().sum()
            self.sums[3] += (change > 0).sum()
        else:
            for row, weights in enumerate((None, change, change.square(), (change > 0).to(change.dtype))):
                self.sums[row] += torch.bincount(head, weights, minlength=len(self._heads))

    def take(self) -> dict[str, float]:
        """Return mean, spread and share of potentiation of each head since the last call, and reset."""
        statistics = {}
        for name, (count, total, squares, rises) in zip(self._heads, self.sums.T.tolist(), strict=True):
            if count:
                mean = total / count
                statistics[f"{name}_mean"] = mean
                statistics[f"{name}_spread"] = max(squares / count - mean**2, 0.0) ** 0.5
                statistics[f"{name}_potentiation"] = rises / count
        self.sums.zero_()
        return statistics


def weight_statistics(network: Network) -> dict[str, float]:
    """Return mean, spread (standard deviation) and saturation (share at a clip) of every plastic projection."""
    statistics = {}
    for projection in network.projections:
        if projection.plasticity is None:
            continue
        weights = network.weights_of(projection.name)  # (B, n_pre, n_post)
        if not projection.autapses:  # self-connections do not exist
            there = ~torch.eye(*weights.shape[1:], dtype=torch.bool, device=weights.device)
            weights = weights[:, there]
        if not weights.numel():
            continue
        clipped = (weights <= projection.plasticity.w_min) | (weights >= projection.plasticity.w_max)
        statistics[f"{projection.name}_mean"] = weights.mean().item()
        statistics[f"{projection.name}_spread"] = weights.std(unbiased=False).item()
        statistics[f"{projection.name}_saturation"] = clipped.float().mean().item()
    return statistics
