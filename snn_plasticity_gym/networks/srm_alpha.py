"""The spike response neuron with alpha kernels, SRM-alpha of SLAYER (Shrestha & Orchard 2018), and its traces.

A spike at step 0 has a response of form k(n) = (n dt / tau) exp(1 - n dt / tau) n steps later, with peak 1 at tau; the
neuron's own spike has the refractory response -scale_ref * v_th * k(n) with a separate time constant.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class AlphaTrace(NamedTuple):
    """A running convolution of spikes with an alpha kernel, as two exponentials in a row."""

    rise: Tensor  # (B, N)
    level: Tensor  # (B, N) kernel k over e: its integral is tau, so a steady rate r (1/ms) gives r * tau


class SRMAlphaParams(NamedTuple):
    """Constants of the neuron; defaults: supplement of Schmidgall et al. (2021)."""

    tau_syn: float = 10.0  # ms
    tau_ref: float = 2.0  # ms
    scale_ref: float = 2.0  # depth of the refractory kernel in thresholds
    v_th: float = 10.0  # mV


def alpha_init(like: Tensor) -> AlphaTrace:
    """Return the trace of neurons that never fired, of the shape and dtype of `like`, (B, N)."""
    return AlphaTrace(torch.zeros_like(like), torch.zeros_like(like))


def alpha_step(trace: AlphaTrace, spikes: Tensor, tau: float, dt: float) -> AlphaTrace:
    """Add the spikes of a step, (B, N), and advance by `dt` ms; with d = exp(-dt / tau)

    level <- d (level + dt / tau * (rise + s))
    rise  <- d (rise + s)

    After n calls a spike of the first one contributes n (dt / tau) d^n. The response starts in the step after the
    spike.
    """
    decay, rise = math.exp(-dt / tau), trace.rise + spikes
    return AlphaTrace(decay * rise, decay * (trace.level + dt / tau * rise))


def srm_potential(drive: Tensor, refractory: AlphaTrace, params: SRMAlphaParams) -> Tensor:
    """Return u = e * drive - e * scale_ref * v_th * refractory, (B, N) mV.

    Args:
        drive: sum_i w_ij level_i of the presynaptic traces, (B, N); w in mV at the peak of a response.
        refractory: Trace of the neuron's own spikes with `tau_ref`.
        params: Constants.
    """
    return math.e * (drive - params.scale_ref * params.v_th * refractory.level)
