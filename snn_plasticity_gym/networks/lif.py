"""The leaky integrate-and-fire neuron, one step function for all populations."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class LIFParams(NamedTuple):
    """Constants of a population; defaults: excitatory cell of Diehl & Cook (2015), without its options.

    With `resistance` = 100 and `tau_mem` = 100 ms one unit of charge, a current of 1 for 1 ms, raises the membrane
    potential by 1 mV: a spike of gain 1 at weight 1, whatever the time step. The options (refractory
    period, adaptive threshold, lowest potential, one spike a step) are off.
    """

    tau_mem: float = 100.0  # ms
    v_rest: float = -65.0  # mV
    v_reset: float = -65.0  # mV
    v_th: float = -52.0  # mV
    resistance: float = 100.0  # mV per unit of current
    refractory: float = 0.0  # ms
    theta_plus: float = 0.0  # mV added to the threshold by each spike
    tau_theta: float = 1e7  # ms, decay of the adaptive threshold
    one_spike: bool = False  # at most one spike per network and step: the neuron furthest above its threshold
    v_min: float = -math.inf  # mV, lower bound of the potential under inhibition, like a reversal potential

    def silent_steps(self, dt: float) -> int:
        """Return the refractory period in whole steps of `dt` ms: a sum of steps, rounded, could be one too many."""
        return math.ceil(self.refractory / dt - 1e-9)

    def threshold_decay(self, dt: float) -> float:
        """Return the decay factor of the adaptive threshold per step of `dt` ms."""
        return math.exp(-dt / self.tau_theta)


class LIFState(NamedTuple):
    """State of a population between steps."""

    v: Tensor  # (B, N) membrane potential, mV
    refractory: Tensor  # (B, N) steps left until the neuron may fire again
    theta: Tensor  # (B, N) adaptive part of the threshold, mV; persists between episodes


def lif_init(batch: int, size: int, params: LIFParams, device: torch.device, dtype: torch.dtype) -> LIFState:
    """Return a population at rest: (batch, size) neurons at `v_rest`, not refractory, without adaptation."""
    zeros = torch.zeros(batch, size, device=device, dtype=dtype)
    return LIFState(v=zeros + params.v_rest, refractory=zeros, theta=zeros.clone())


def lif_step(current: Tensor, state: LIFState, params: LIFParams, dt: float) -> tuple[Tensor, LIFState]:
    """Advance a population by one step of `dt` ms.

    Forward Euler, then threshold, then reset:
        v <- max(v + dt / tau_mem * (-(v - v_rest) + resistance * current), v_min)
        spike where v > v_th + theta, then v = v_reset
        theta <- theta * exp(-dt / tau_theta) + theta_plus * spike
    A refractory neuron leaks but takes no current and does not fire. Equation: Gerstner et al., Neuronal
    Dynamics (2014), eq. 1.5; adaptive threshold: Diehl & Cook (2015), section 2.1.

    Args:
        current: Synaptic input of this step, shape (B, N); resistance * current is in mV.
        state: The population before the step.
        params: Its constants.
        dt: Step in ms.

    Returns:
        Spikes, bool (B, N), and the next state.
    """
    return fire(integrate(current, state, params, dt), state, params, dt)


def integrate(current: Tensor, state: LIFState, params: LIFParams, dt: float) -> Tensor:
    """First half of `lif_step`: the membrane potential before threshold and reset, (B, N) mV."""
    drive = params.resistance * current  # (B, N) mV
    if params.refractory > 0:
        drive = drive.masked_fill(state.refractory > 0, 0.0)
    potential = state.v + dt / params.tau_mem * (params.v_rest - state.v + drive)
    return potential.clamp(min=params.v_min) if params.v_min > -math.inf else potential


def fire(potential: Tensor, state: LIFState, params: LIFParams, dt: float) -> tuple[Tensor, LIFState]:
    """Second half of `lif_step`: threshold and reset; arguments and result as there, from `integrate`'s potential."""
    excess = potential - params.v_th - state.theta  # (B, N) mV above threshold
    spikes = excess > 0
    if params.refractory > 0:
        spikes = spikes & (state.refractory <= 0)
    if params.one_spike:
        furthest = excess.masked_fill(~spikes, -math.inf).argmax(dim=1, keepdim=True)  # (B, 1)
        spikes = torch.zeros_like(spikes).scatter_(1, furthest, spikes.gather(1, furthest))
    v = potential.masked_fill(spikes, params.v_reset)
    refractory, theta = state.refractory, state.theta
    if params.refractory > 0:
        refractory = (refractory - 1).clamp(min=0).masked_fill(spikes, params.silent_steps(dt))
    if params.theta_plus > 0:
        theta = theta * params.threshold_decay(dt) + params.theta_plus * spikes.to(theta.dtype)
    return spikes, LIFState(v, refractory, theta)


@functools.cache
def lif_constants(params: LIFParams, dt: float, dtype: Any) -> NDArray[Any]:
    """Return the constants of `kernels.network.lif_loop`, in torch's precision."""
    return np.array(
        [
            *(dt / params.tau_mem, params.v_rest, params.v_reset, params.v_th, params.resistance),
            *(params.silent_steps(dt), params.threshold_decay(dt), params.theta_plus, params.v_min),
        ],
        dtype=dtype,
    )
