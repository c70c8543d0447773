"""Surrogate derivatives of the spike function, a step function without useful derivative.

A spike is s = H(x), where x = u - v_th (mV) is the membrane potential above threshold. Backward passes use one
of six curves in place of the derivative of H:

    curve = derivative("rectangular", width=1.0)   # x -> ds/dx, for passes written by hand (rewards/gradient.py)
    s = spike(u - v_th, "rectangular", width=1.0)  # for autograd (networks/differentiable.py)

Every curve is (a constant times) (1/width) k(x / width): `width` is a length in mV, and scales the curve without
changing its form. Where a paper counts in other units, the docstring says how.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import unknown

Curve = Callable[[Tensor], Tensor]
"""x = u - v_th in mV to ds/dx in 1/mV, element by element."""


def rectangular(x: Tensor, width: float) -> Tensor:
    """1/width where |x| < width/2, else 0; integral 1.

    h1 of STBP (Wu, Deng, Li, Zhu & Shi 2018) with a1 = width. It is the derivative of a ramp from 0 at x = -width/2
    to 1 at width/2.
    """
    return (x.abs() < width / 2).to(x.dtype) / width


def polynomial(x: Tensor, width: float) -> Tensor:
    """(1 - |x|/width)/width where |x| < width, else 0: a triangle; integral 1.

    h2 of STBP (Wu et al. 2018), sqrt(a2)/2 - a2/4 |x| where |x| < 2/sqrt(a2), with a2 = 4/width^2. It is the
    derivative of two parabolas joined at x = 0, which rise from 0 at -width to 1 at width.
    """
    return (1.0 - x.abs() / width).clamp(min=0.0) / width


def sigmoid(x: Tensor, width: float) -> Tensor:
    """exp(-x/width) / (1 + exp(-x/width))^2 / width; integral 1, peak 1/(4 width).

    h3 of STBP (Wu et al. 2018) with a3 = width. It is the derivative of the logistic function of x/width.
    """
    z = x / width
    return torch.sigmoid(z) * torch.sigmoid(-z) / width  # the same in two factors, neither of which overflows


def gaussian(x: Tensor, width: float) -> Tensor:
    """exp(-x^2 / (2 width^2)) / (sqrt(2 pi) width); integral 1.

    h4 of STBP (Wu et al. 2018), whose a4 is the variance, width^2. It is the derivative of the cumulative normal
    distribution of standard deviation `width`.
    """
    return torch.exp(-0.5 * (x / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)


def fast_sigmoid(x: Tensor, width: float) -> Tensor:
    """1 / (1 + |x|/width)^2; peak 1, so the integral is 2 width (mV), not 1.

    SuperSpike (Zenke & Ganguli 2018), whose beta is 1/width. It is the derivative of the fast sigmoid
    x / (1 + |x|/width), which runs from -width to width. Its tails are long: silent neurons learn as well.
    """
    return (1.0 + x.abs() / width).pow(-2)


def exponential(x: Tensor, width: float) -> Tensor:
    """exp(-|x|/width); peak 1, so the integral is 2 width (mV), not 1.

    SLAYER (Shrestha & Orchard 2018), whose tauRho is width, with scaleRho equal to it.
    """
    return torch.exp(-x.abs() / width)


SURROGATES: dict[str, Callable[..., Tensor]] = {
    "rectangular": rectangular,
    "polynomial": polynomial,
    "sigmoid": sigmoid,
    "gaussian": gaussian,
    "fast_sigmoid": fast_sigmoid,
    "exponential": exponential,
}
"""Curves (x in mV, width in mV) -> ds/dx, by name."""


def derivative(surrogate: str, width: float) -> Curve:
    """Return the curve `surrogate` of the given width as a function of x alone.

    Args:
        surrogate: A name in SURROGATES.
        width: Width of the curve in mV, positive.

    Raises:
        ValueError: No such curve, or the width is not positive.
    """
    if surrogate not in SURROGATES:
        raise ValueError(unknown("surrogate", surrogate, SURROGATES))
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    return functools.partial(SURROGATES[surrogate], width=width)


class _Spike(torch.autograd.Function):
    """The step function, with a curve for its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, curve: Curve) -> Tensor:
        ctx.save_for_backward(x)
        ctx.curve = curve
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (gradient,) = gradients
        return gradient * ctx.curve(x), None


def spike(x: Tensor, surrogate: str, width: float) -> Tensor:
    """Forward the step H(x), 1 where x > 0 and else 0; backward dL/dx = dL/ds * curve(x).

    Args:
        x: u - v_th in mV, any shape.
        surrogate: A name in SURROGATES.
        width: Width of the curve in mV, positive.

    Returns:
        Spikes, 0 or 1, in the dtype and shape of x.

    Raises:
        ValueError: As `derivative`.
    """
    spikes: Tensor = _Spike.apply(x, derivative(surrogate, width))
    return spikes
