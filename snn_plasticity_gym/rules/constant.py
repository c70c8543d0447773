"""Rules that look at nothing: the floor that every other rule has to rise above."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.events import SynapseEvents


class ZeroRule:
    """No plasticity: every weight stays as it is."""

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return zeros, (E,)."""
        return torch.zeros_like(events.weight)


class RandomRule:
    """Independent Gaussian weight changes.

    Args:
        sigma: Their standard deviation.
        seed: Of the random stream.
    """

    def __init__(self, sigma: float = 0.1, seed: int = 0) -> None:
        self._sigma = sigma
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return fresh random numbers, (E,)."""
        noise = torch.randn(len(events.weight), generator=self._generator)
        return self._sigma * noise.to(events.weight)
