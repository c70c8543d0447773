"""Baseline rules without inputs: no plasticity, and random changes."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.closed_form import ClosedForm


@config_class
class ZeroRule:
    """No plasticity: weights do not change."""

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return zeros, (E,)."""
        return torch.zeros_like(events.weight)

    def closed_form(self) -> ClosedForm:
        """Return zero coefficients."""
        return ClosedForm()


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
        """Return new random numbers, (E,)."""
        noise = torch.randn(len(events.weight), generator=self._generator)
        return self._sigma * noise.to(events.weight)


@config_class
class SeededRandomRule:
    """`RandomRule` as a configuration class for the registry; its stream starts at the first call."""

    sigma: float = setting(0.1, "Standard deviation of the weight changes.", section="Random", ge=0)
    seed: int = setting(0, "Seed of the random stream.", section="Random", ge=0)

    @functools.cached_property
    def _rule(self) -> RandomRule:
        return RandomRule(self.sigma, self.seed)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return new random numbers, (E,)."""
        return self._rule(events)
