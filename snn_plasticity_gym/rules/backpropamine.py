"""Backpropamine: neuromodulated Hebbian plasticity, trained by gradients through lifetimes.

After Miconi, Rawal, Clune & Stanley (Backpropamine: training self-modifying neural networks with differentiable
neuromodulated plasticity, 2019), with the filtered spikes of a spiking layer in the place of rates.
Axes: B lifetimes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_plasticity_gym.rules.differentiable import coefficient_shapes


class BackpropamineState(NamedTuple):
    """State of backpropamine between steps."""

    efficacy: Tensor  # (B, n_pre, n_post) plastic part E of the weights
    eligibility: Tensor  # (B, n_pre, n_post) T, of the retroactive form; else (B, 1, 1), 0


class Backpropamine(nn.Module):
    """A plastic part E of each weight, w_eff = w + gain * E, with pre trace x, post trace y and a modulator M

        M_j = bias_j + fan_j tanh(sum_k projection_k y_k)
        simple:      E <- clip(E + M x y, -limit, limit)
        retroactive: E <- clip(E + M T, -limit, limit),  then  T <- (1 - clip(eta, 0, 1)) T + eta x y

    These are equations 3, and 4 and 5, of Miconi et al. (2019), with one signal of the layer that is fanned out to its
    neurons, with separate factors and offsets as in the code of their maze. In the simple form M gates the present
    Hebbian term; in the retroactive one the terms of about 1 / eta steps before. T is dimensionless, its decay is
    clipped to [0, 1] as Oja's is: a negative eta would cause exponential growth.

    Args:
        n_pre: Presynaptic neurons.
        n_post: Postsynaptic neurons.
        retroactive: Whether M gates the eligibility trace T.
        coefficients: "synapse": gain and eta of each synapse; "neuron": a gain of each synapse, an eta of each
            postsynaptic neuron; "shared": one of each for all. The simple form has no eta.
        generator: Source of initial coefficients; None: torch's own.
        limit: Largest |E|.

    Raises:
        ValueError: No such coefficients, or the limit is not positive.
    """

    def __init__(
        self,
        n_pre: int,
        n_post: int,
        retroactive: bool = False,
        coefficients: str = "synapse",
        generator: torch.Generator | None = None,
        limit: float = 1.0,
    ) -> None:
        super().__init__()
        if not limit > 0:
            raise ValueError(f"limit must be positive, got {limit}")
        gains, rates = coefficient_shapes(n_pre, n_post, coefficients)
        self.gain = nn.Parameter(0.1 * torch.randn(gains, generator=generator))
        self.rate = nn.Parameter(torch.full(rates, 0.1)) if retroactive else None
        self.projection = nn.Parameter(torch.randn(n_post, 1, generator=generator) / n_post**0.5)
        self.fan = nn.Parameter(0.1 * torch.randn(n_post, generator=generator))
        self.bias = nn.Parameter(torch.full((n_post,), 0.1))
        self.shape, self.limit = (n_pre, n_post), limit

    @property
    def retroactive(self) -> bool:
        """Whether M gates the eligibility trace T."""
        return self.rate is not None

    def initial(self, weights: Tensor, batch: int) -> BackpropamineState:
        """Return the initial state of `batch` lifetimes."""
        traced = self.shape if self.retroactive else (1, 1)
        return BackpropamineState(weights.new_zeros(batch, *self.shape), weights.new_zeros(batch, *traced))

    def modulation(self, post: Tensor) -> Tensor:
        """Return M of each postsynaptic neuron: (B, n_post) -> (B, n_post)."""
        return self.bias + self.fan * torch.tanh(post @ self.projection)

    def before_spikes(self, state: BackpropamineState, pre: Tensor, post: Tensor) -> BackpropamineState:
        """Return the state after a step with traces `pre` (B, n_pre) and `post` (B, n_post)."""
        modulation = self.modulation(post)  # (B, n_post)
        eligibility = state.eligibility
        if self.rate is None:
            change = pre.unsqueeze(2) * (modulation * post).unsqueeze(1)  # (B, n_pre, n_post)
        else:
            change = modulation.unsqueeze(1) * eligibility  # (B, n_pre, n_post)
            pairs = pre.unsqueeze(2) * post.unsqueeze(1)  # (B, n_pre, n_post)
            eligibility = (1.0 - self.rate.clamp(0.0, 1.0)) * eligibility + self.rate * pairs
        return BackpropamineState((state.efficacy + change).clamp(-self.limit, self.limit), eligibility)

    def after_spikes(self, state: BackpropamineState, pre: Tensor, post: Tensor) -> BackpropamineState:
        """Return the state unchanged: spikes act through their traces."""
        del pre, post
        return state

    def effective(self, weights: Tensor, state: BackpropamineState) -> Tensor:
        """Return w + gain * E, (B, n_pre, n_post)."""
        return weights + self.gain * state.efficacy
