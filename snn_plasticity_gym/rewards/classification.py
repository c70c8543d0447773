"""The reward of a classifier with output neuron k for class k."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.config.feedforward import SemiConfig
from snn_plasticity_gym.kernels.answers import classification_rewards
from snn_plasticity_gym.rewards.result import RewardResult

TERMS = ("accuracy", "margin", "output_rate")


class ClassificationReward:
    """Accuracy, margin and spike penalty.

        R = (1 if answer = y else -1) + alpha_margin (r_y - max_{k != y} r_k) - alpha_spike mean_k r_k

    with rates r_k = spikes of output neuron k per ms. A silent output counts as wrong.

    Args:
        config: Weights alpha_margin and alpha_spike.
    """

    def __init__(self, config: SemiConfig) -> None:
        self._alpha_margin = config.alpha_margin
        self._alpha_spike = config.alpha_spike

    def __call__(self, counts: Tensor, winners: Tensor, labels: Tensor, duration: float) -> RewardResult:
        """Compute the rewards of R lifetimes.

        Args:
            counts: Output spikes in the rewarded steps, (R, C).
            winners: The network's predictions, int64 (R,), -1 if there is none.
            labels: Labels, int64 (R,).
            duration: Length of the rewarded steps, ms.

        Returns:
            Rewards (R,) and the terms accuracy (0 or 1), margin and output_rate, before their weights, (R,) each.
        """
        if counts.device.type != "cpu":
            return self.by_operations(counts, winners, labels, duration)
        terms, reward = torch.empty(len(TERMS), len(counts)), torch.empty(len(counts))
        given = (part.numpy() for part in (counts, winners, labels))
        classification_rewards(*given, duration, self._alpha_margin, self._alpha_spike, terms.numpy(), reward.numpy())
        return RewardResult(reward, dict(zip(TERMS, terms.unbind(), strict=True)))

    def by_operations(self, counts: Tensor, winners: Tensor, labels: Tensor, duration: float) -> RewardResult:
        """Compute in torch: for other devices, and as the reference for the compiled version."""
        rates = counts.float() / duration  # (R, C)
        right = rates.gather(1, labels.unsqueeze(1)).squeeze(1)  # (R,)
        others = rates.scatter(1, labels.unsqueeze(1), -torch.inf)  # (R, C)
        accuracy, margin, rate = (winners == labels).to(rates.dtype), right - others.amax(dim=1), rates.mean(dim=1)
        reward = 2.0 * accuracy - 1.0 + self._alpha_margin * margin - self._alpha_spike * rate
        return RewardResult(reward, dict(zip(TERMS, (accuracy, margin, rate), strict=True)))
