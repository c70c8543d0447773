"""The identity with damped gradients, for backpropagation through plastic lifetimes of some hundred steps.

Spikes leave a trace, the trace changes a weight, the weight makes spikes: around this loop gradients can grow by a
factor in each step. Damping keeps them small, at the cost of exactness.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Damping(NamedTuple):
    """Damping of gradients; the defaults leave them exact."""

    rule: float = 1.0  # factor of gradients to postsynaptic traces through the plasticity rule
    refractory: float = 1.0  # factor of gradients to spikes through the neuron's refractory response
    carry: float = math.inf  # clip of the derivative by a trace, passed to the step before

    def check(self) -> None:
        """Raise ValueError if a number is out of range."""
        for name, share in {"rule": self.rule, "refractory": self.refractory}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"damping: {name} must be in [0, 1], got {share}")
        if not self.carry > 0:
            raise ValueError(f"damping: carry must be positive, got {self.carry}")


WHOLE = Damping()  # exact gradients


def scale_gradient(x: Tensor, share: float) -> Tensor:
    """Return x; backwards, dL/dx is multiplied by `share`."""
    if share in (0.0, 1.0):
        return x if share else x.detach()
    scaled: Tensor = _Scaled.apply(x, share)
    return scaled


def clamp_gradient(x: Tensor, limit: float) -> Tensor:
    """Return x; backwards, each element of dL/dx is clipped to [-limit, limit]."""
    if limit == math.inf:
        return x
    clamped: Tensor = _Clamped.apply(x, limit)
    return clamped


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.share, None


class _Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float) -> Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].clamp(-ctx.limit, ctx.limit), None
