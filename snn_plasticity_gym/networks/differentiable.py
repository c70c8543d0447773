"""A feed-forward network of plain LIF layers as differentiable code: what BPTT trains, and the teacher's oracle.

The dynamics are those of `lif.lif_step` without its options, and of `network.Network` with feed-forward projections.
Since activity travels through all layers within a step, layer l needs from layer l-1 all its spikes and nothing
else: layers can be run one after the other, each over all T steps at once, with one matrix product per layer.

    spike_fn = functools.partial(spike, surrogate="rectangular", width=1.0)
    activity = forward(weights, input_spikes, params, dt, gains, spike_fn)
    loss = F.cross_entropy(alpha * activity.spikes[-1].mean(dim=0), labels)
    loss.backward()

Axes: T steps, B samples, N neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import pulse

SpikeFunction = Callable[[Tensor], Tensor]
"""x = u - v_th (mV) to spikes, differentiable, element by element."""


class Activity(NamedTuple):
    """What the layers did, first hidden layer to output layer."""

    spikes: list[Tensor]  # (T, B, N) each
    potentials: list[Tensor]  # (T, B, N) each, mV, u: after the current and before the reset


def forward(
    weights: Sequence[Tensor],
    input_spikes: Tensor,
    params: LIFParams,
    dt: float,
    gains: Sequence[float],
    spike_fn: SpikeFunction,
) -> Activity:
    """Run the network from rest for T steps; for layer l = 1 .. L in every step t

        I_l(t) = gain_l / dt * sum_i w_l,ij s_l-1,i(t)
        u_l(t) = v_l(t-1) + dt / tau_mem * (v_rest - v_l(t-1) + resistance * I_l(t)),  v_l(0) = v_rest
        s_l(t) = spike_fn(u_l(t) - v_th)
        v_l(t) = v_reset where u_l(t) > v_th, else u_l(t)

    No gradient flows through the condition of the reset (it is a constant almost everywhere, also under a smooth
    `spike_fn`, with which therefore gradients are those of the function that is computed).

    Args:
        weights: One tensor per layer: (n_pre, n_post) for all samples and steps, (B, n_pre, n_post) for each sample
            its own, or (T, B, n_pre, n_post) for each step as well.
        input_spikes: s_0, shape (T, B, n_in), in the dtype of the weights.
        params: Constants of all layers; the options of `LIFParams` must be off.
        dt: Step in ms.
        gains: Charge of a spike at weight 1 (current times ms), one per layer.
        spike_fn: The spike function with the derivative that backward passes shall use.

    Returns:
        Spikes and potentials of every layer.

    Raises:
        ValueError: An option of `params` is on, or there are not as many gains as weights.
    """
    require_plain(params)
    if len(gains) != len(weights):
        raise ValueError(f"gains must hold one number per layer: {len(weights)}, got {len(gains)}")
    spikes, potentials = [], []
    activity = input_spikes  # (T, B, n_pre) spikes of the layer before
    for weight, gain in zip(weights, gains, strict=True):
        membrane = integrate(pulse(gain, dt) * propagate(activity, weight), params, dt)  # (T, B, N)
        activity = spike_fn(membrane - params.v_th)
        potentials.append(membrane)
        spikes.append(activity)
    return Activity(spikes, potentials)


def propagate(spikes: Tensor, weight: Tensor) -> Tensor:
    """sum_i w_ij s_i for every step and sample: (T, B, n_pre) and weights as in `forward` -> (T, B, n_post)."""
    if weight.ndim == 3:
        return (spikes.transpose(0, 1) @ weight).transpose(0, 1)  # (B, T, n_pre) @ (B, n_pre, n_post)
    if weight.ndim == 4:
        return (spikes.unsqueeze(2) @ weight).squeeze(2)  # (T, B, 1, n_pre) @ (T, B, n_pre, n_post)
    return spikes @ weight


def integrate(current: Tensor, params: LIFParams, dt: float) -> Tensor:
    """Potentials u of a layer before the reset, under currents I: (T, B, N) -> (T, B, N) mV; equations: `forward`."""
    leak = dt / params.tau_mem
    drive = leak * (params.v_rest + params.resistance * current)  # (T, B, N) mV
    v = torch.full_like(drive[0], params.v_rest)  # (B, N)
    membrane = []
    for push in drive.unbind(0):  # one node of the graph; indexing would be T nodes, each with a gradient of full size
        u = torch.add(push, v, alpha=1.0 - leak)  # (B, N)
        v = u.masked_fill(u > params.v_th, params.v_reset)
        membrane.append(u)
    return torch.stack(membrane)


def require_plain(params: LIFParams) -> None:
    """Raise ValueError if an option of the neuron is on: the gradients here are those of the plain one."""
    options = {
        "refractory": params.refractory,
        "theta_plus": params.theta_plus,
        "v_min": params.v_min if params.v_min > -math.inf else 0,
        "one_spike": params.one_spike,
    }
    on = [f"{name}={value}" for name, value in options.items() if value]
    if on:
        raise ValueError(f"gradients exist for the plain neuron only, turn off {', '.join(on)}")
