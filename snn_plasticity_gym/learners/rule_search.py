"""Policy gradient in rule space: the action is a lifetime's whole perturbed rule.

A lifetime follows the rule theta + sigma L xi, xi ~ N(0, I), with theta the last layers of the heads
(`exploration.Scaling` is L) or all of their layers (`head_noise.LayerScale`), and has the advantage A. In the
coordinates of xi the policy is N(z, I) with z = 0 at first, and

    z <- z + rate mean_b A_b (xi_b - z)

is the gradient of the mean reward, and in those of theta the natural gradient (Kakade 2001): a step sigma L z does not
depend on how the features are scaled. It is the estimator of Sehnke et al., Parameter-exploring policy gradients
(2010), for a fixed deviation. Proximal policy optimisation takes several such steps, each lifetime weighted by its
probability ratio of new and old policy,

    r_b = exp(|xi_b|^2 / 2 - |xi_b - z|^2 / 2),

and left out where r_b is beyond 1 +- eps on the side to which A_b drives it (Schulman et al. 2017, eq. 7), or, with
A_b < 0, above 3: nothing else would bound the weight of a bad rule that has become likely (Ye et al., Mastering complex
control in MOBA games, 2020, eq. 5).

Unperturbed parameters are not learned: the front, and with last layers alone the hidden ones, are fixed features.

Returns order rules better than they scale them: a few lucky lifetimes would outweigh the rest. `ranks` keeps the
order alone (Salimans et al., Evolution strategies as a scalable alternative, 2017, section 2.1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DUAL_CLIP = 3.0  # largest ratio of a lifetime with a negative advantage


class Ascent(NamedTuple):
    """Steps of the mean in the coordinates of xi."""

    shift: Tensor  # z, shaped like one perturbation
    clipped: float  # share of the lifetimes that were left out, over all passes
    divergence: float  # Kullback-Leibler divergence of the new policy from the old one, |z|^2 / 2


def ascend(xi: Tensor, advantages: Tensor, rate: float, passes: int = 1, clip_range: float | None = None) -> Ascent:
    """Ascend the gradient of the mean in perturbation space.

    Args:
        xi: Perturbations, (N, ...).
        advantages: Of each perturbation, (N,).
        rate: Total step size per unit of gradient, divided equally among passes.
        passes: Over all lifetimes.
        clip_range: eps; None: no lifetime is left out.
    """
    shift = torch.zeros_like(xi[0])
    left_out = 0.0
    for _ in range(passes):
        away = xi - shift  # (N, ...)
        log_ratio = (xi.square() - away.square()).flatten(1).sum(dim=1) / 2  # (N,)
        ratio = log_ratio.exp()
        weight = advantages * ratio
        if clip_range is not None:
            outside = (ratio < 1 - clip_range) | (ratio > DUAL_CLIP)
            beyond = torch.where(advantages > 0, ratio > 1 + clip_range, outside)
            weight = weight.masked_fill(beyond, 0.0)
            left_out += beyond.float().mean().item() / passes
        shift += rate / passes * torch.tensordot(weight, away, dims=1) / len(xi)
    return Ascent(shift, left_out, shift.square().sum().item() / 2)


def ranks(returns: Tensor) -> Tensor:
    """Replace each lifetime's return by its rank among those of its row, with mean 0 and deviation 1: (R, N) -> (R, N).

    Ties have the mean of their ranks; a row of ties becomes 0.
    """
    above = (returns.unsqueeze(2) > returns.unsqueeze(1)).sum(dim=2)  # (R, N) lifetimes with a lower return
    equals = (returns.unsqueeze(2) == returns.unsqueeze(1)).sum(dim=2)  # itself included
    centred = above + (equals - returns.shape[1]) / 2.0
    return centred / centred.std(dim=1, keepdim=True, unbiased=False).clamp(min=1e-8)
