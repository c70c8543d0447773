"""Exploration: by what the weight changes of a rollout differ from the policy's means.

`independent` draws a standard normal number for every event. One global reward over 10^5 such numbers carries next to
no signal about any of them, so `rule` draws one function of a synapse's state for every lifetime, and the whole
lifetime follows one perturbed rule: on an event with last hidden layer phi in the head of its group, the noise is

    sqrt(1 - c) xi . (phi - mu) / s + sqrt(c) xi_0,    xi ~ N(0, 1) in every component, one xi per lifetime and head,

with mu the mean of phi and s^2 the mean of |phi - mu|^2 over events, so that its variance over events is 1. Without
mu, which is by far the largest part of a layer of ReLUs, a perturbation were little more than a common shift; c is the
share of that shift. Noise that is a linear map of the last hidden layer and lasts: Raffin, Kober & Stulp, Smooth
exploration for robotic reinforcement learning (2022), eq. 4, gSDE of Stable-Baselines3.

The update is the same for both: an event's advantage times (action - mean) pulls the mean. In `rule` this is no exact
log-probability, as the noises of events are not independent, but it is an ascent direction: the gradient of the
smoothed reward in the space of rules, multiplied by the covariance of the perturbations.

Axes: B lifetimes, G heads, F width of the last hidden layer, E events.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from snn_plasticity_gym.agents.heads import Readout
from snn_plasticity_gym.agents.policy import FrozenRule
from snn_plasticity_gym.events import SynapseEvents

COMMON_SHARE = 0.1  # c: share of a perturbation's variance that all events have in common
MEMORY = 0.5  # what a new perturbation leaves of the sums over earlier events, for the policy goes on


class Exploration(Protocol):
    """How noise is made."""

    def perturb(self, num_lifetimes: int) -> None:
        """Draw what lasts, anew for all lifetimes."""

    def __call__(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor]:
        """Return mean and noise of each event, (E,) both; the noise has variance 1."""


class IndependentNoise:
    """Every event has a number of its own.

    Args:
        generator: Source of the numbers.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def perturb(self, num_lifetimes: int) -> None:
        """Nothing lasts."""

    def __call__(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor]:
        """Return mean and noise of each event, (E,) both."""
        mean = rule(events)
        return mean, torch.randn(len(mean), generator=self._generator, device=mean.device)


class RuleNoise:
    """Every lifetime follows a perturbed rule of its own; before the first events were seen, the mean rule.

    Args:
        generator: Source of the perturbations.
        mirrored: Lifetimes 2 k and 2 k + 1 get opposite perturbations, which halves the variance of what is learned.
    """

    def __init__(self, generator: torch.Generator, mirrored: bool) -> None:
        self._generator = generator
        self._mirrored = mirrored
        self._num_lifetimes = 0
        self._readout: Readout | None = None
        self._measured: Tensor | None = None  # what the present perturbations were scaled by
        self._moments: Tensor | None = None  # (G, F + 2): sums over events, see `RuleNetwork.explore`

    def perturb(self, num_lifetimes: int) -> None:
        """Draw new perturbations at the next events, when the heads are known."""
        self._num_lifetimes = num_lifetimes
        self._readout = None
        self._measured = self._moments
        if self._moments is not None:
            self._moments = MEMORY * self._moments

    def __call__(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor]:
        """Return mean and noise of each event, (E,) both."""
        if self._readout is None and self._measured is not None:
            self._readout = self._draw(self._measured)
        mean, noise, moments = rule.explore(events, self._readout)
        self._moments = moments if self._moments is None else self._moments + moments
        return mean, noise

    def _draw(self, moments: Tensor) -> Readout:
        """Make readouts of unit variance over the events that `moments` (G, F + 2) sum up."""
        num_heads, width = moments.shape[0], moments.shape[1] - 2
        pairs = (self._num_lifetimes + 1) // 2 if self._mirrored else self._num_lifetimes
        xi = torch.randn(pairs, num_heads, width + 1, generator=self._generator, device=self._generator.device)
        if self._mirrored:
            xi = torch.stack([xi, -xi], dim=1).flatten(0, 1)[: self._num_lifetimes]
        xi = xi.to(moments.device)  # (B, G, F + 1)
        count = moments[:, :1].clamp(min=1.0)  # (G, 1)
        centre = moments[:, 1:-1] / count  # (G, F) mu
        spread = (moments[:, -1:] / count - centre.square().sum(dim=1, keepdim=True)).clamp(min=1e-12).sqrt()  # (G, 1)
        centre, spread = centre.float(), spread.float()
        weights = (1.0 - COMMON_SHARE) ** 0.5 * xi[..., :-1] / spread  # (B, G, F)
        bias = COMMON_SHARE**0.5 * xi[..., -1] - (weights * centre).sum(dim=2)  # (B, G)
        return Readout(weights, bias)
