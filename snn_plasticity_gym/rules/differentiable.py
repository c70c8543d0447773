"""Oja's and BCM's rule as modules whose coefficients are trained by gradients through a network's lifetime.

"SpikePropamine-style": after Schmidgall et al. (2021), who published no code; the equations here are a reconstruction
in the manner of differentiable plasticity (Miconi, Stanley & Clune 2018), and their results are not claimed.
Axes: B lifetimes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.schema import unknown

FORMS = ("oja", "bcm")
COEFFICIENTS = ("synapse", "neuron", "shared")


def coefficient_shapes(n_pre: int, n_post: int, coefficients: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the shapes of gains and of rates; `coefficients` as in `DifferentiableHebb`.

    Raises:
        ValueError: There are no such coefficients.
    """
    if coefficients not in COEFFICIENTS:
        raise ValueError(unknown("coefficients", coefficients, COEFFICIENTS))
    every, one = (n_pre, n_post), (1, 1)
    rates = {"synapse": every, "neuron": (1, n_post), "shared": one}[coefficients]
    return (one if coefficients == "shared" else every), rates


class PlasticState(NamedTuple):
    """State of Oja's and BCM's rule between steps."""

    efficacy: Tensor  # (B, n_pre, n_post) plastic part E of the weights
    threshold: Tensor  # (B, n_post) sliding threshold of BCM


class DifferentiableHebb(nn.Module):
    """A plastic part E of each weight, w_eff = w + gain * E, with pre trace x, post trace y and rate eta

        m   = bias + y M                                  (neuromodulated; else m = 1)
        phi <- phi + (1 - exp(-dt / tau_threshold)) (y^2 - phi)
        Oja: E <- clip(E (1 - clip(eta m y^2, 0, 1)) + eta m x y, -limit, limit)
        BCM: E <- clip(E + eta m x y (y - phi), -limit, limit)

    Oja's decay is clipped to [0, 1]: a negative eta or m would cause exponential growth.

    Args:
        n_pre: Presynaptic neurons.
        n_post: Postsynaptic neurons.
        form: "oja" or "bcm".
        neuromodulated: Whether m is a learned projection of the postsynaptic activity, initially 1 plus noise.
        coefficients: "synapse": gain and eta of each synapse; "neuron": a gain of each synapse, an eta of each
            postsynaptic neuron; "shared": one of each for all.
        generator: Source of initial coefficients; None: torch's own.
        limit: Largest |E|.
        tau_threshold: Time constant of phi in ms.
        dt: Step in ms.

    Raises:
        ValueError: No such form or coefficients, or a constant is not positive.
    """

    def __init__(
        self,
        n_pre: int,
        n_post: int,
        form: str,
        neuromodulated: bool = False,
        coefficients: str = "synapse",
        generator: torch.Generator | None = None,
        limit: float = 1.0,
        tau_threshold: float = 50.0,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(unknown("form", form, FORMS))
        gains, rates = coefficient_shapes(n_pre, n_post, coefficients)
        for name, value in {"limit": limit, "tau_threshold": tau_threshold, "dt": dt}.items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.gain = nn.Parameter(0.1 * torch.randn(gains, generator=generator))
        self.rate = nn.Parameter(torch.full(rates, 0.1))
        self.bias: nn.Parameter | None = None
        if neuromodulated:
            self.bias = nn.Parameter(torch.ones(n_post))
            self.projection = nn.Parameter(0.1 * torch.randn(n_post, n_post, generator=generator) / n_post**0.5)
        self.form, self.shape, self.limit = form, (n_pre, n_post), limit
        self.keep = math.exp(-dt / tau_threshold)  # of phi, per step

    def initial(self, weights: Tensor, batch: int) -> PlasticState:
        """Return the initial state of `batch` lifetimes."""
        return PlasticState(weights.new_zeros(batch, *self.shape), weights.new_zeros(batch, self.shape[1]))

    def modulation(self, post: Tensor) -> Tensor:
        """Return m of each postsynaptic neuron: (B, n_post) -> (B, n_post)."""
        return torch.ones_like(post) if self.bias is None else self.bias + post @ self.projection

    def before_spikes(self, state: PlasticState, pre: Tensor, post: Tensor) -> PlasticState:
        """Return the state after a step with traces `pre` (B, n_pre) and `post` (B, n_post)."""
        modulated = self.modulation(post) * post  # (B, n_post)
        threshold = self.keep * state.threshold + (1.0 - self.keep) * post**2  # (B, n_post)
        if self.form == "oja":
            decay = (self.rate * (modulated * post).unsqueeze(1)).clamp(0.0, 1.0)  # (B, n_pre or 1, n_post)
            kept, push = state.efficacy * (1.0 - decay), modulated
        else:
            kept, push = state.efficacy, modulated * (post - threshold)
        change = self.rate * pre.unsqueeze(2) * push.unsqueeze(1)  # (B, n_pre, n_post)
        return PlasticState((kept + change).clamp(-self.limit, self.limit), threshold)

    def after_spikes(self, state: PlasticState, pre: Tensor, post: Tensor) -> PlasticState:
        """Return the state unchanged: spikes act through their traces."""
        del pre, post
        return state

    def effective(self, weights: Tensor, state: PlasticState) -> Tensor:
        """Return w + gain * E, (B, n_pre, n_post)."""
        return weights + self.gain * state.efficacy
