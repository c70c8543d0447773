"""Differentiable layers of spiking neurons: for BPTT, and as the reference of the hand-written gradient.

`forward` runs plain LIF layers with given weights, whole sequences at a time. `step` runs one layer, LIF or SRM-alpha,
by one step, so that weights may change in between and gradients flow through the changes.

The dynamics are those of `lif.lif_step` without its options, and of `network.Network` with feed-forward projections.
Since activity propagates through all layers within a step, layer l depends on the spikes of layer l-1 only: layers
can be run one after the other, each over all T steps at once, with one matrix product per layer.

    spike_fn = functools.partial(spike, surrogate="rectangular", width=1.0)
    activity = forward(weights, input_spikes, params, dt, gains, spike_fn)
    loss = F.cross_entropy(alpha * activity.spikes[-1].mean(dim=0), labels)
    loss.backward()

Axes: T steps, B samples, N neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from snn_plasticity_gym.networks.gradient_flow import WHOLE, Damping, clamp_gradient, scale_gradient
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import pulse
from snn_plasticity_gym.networks.srm_alpha import AlphaTrace, SRMAlphaParams, alpha_init, alpha_step, srm_potential

SpikeFunction = Callable[[Tensor], Tensor]
"""x = u - v_th (mV) to spikes, differentiable, element by element."""


class Activity(NamedTuple):
    """Activity of the layers, from first hidden to output layer."""

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
    `spike_fn`, with which gradients are therefore exact).

    Args:
        weights: One tensor per layer: (n_pre, n_post) for all samples and steps, (B, n_pre, n_post) separate for
            each sample, or (T, B, n_pre, n_post) for each step as well.
        input_spikes: s_0, shape (T, B, n_in), in the dtype of the weights.
        params: Constants of all layers; the options of `LIFParams` must be off.
        dt: Step in ms.
        gains: Charge of a spike at weight 1 (current times ms), one per layer.
        spike_fn: The spike function with its surrogate derivative.

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
        u, v = _charge(push, v, params, leak)
        membrane.append(u)
    return torch.stack(membrane)


def _charge(push: Tensor, v: Tensor, params: LIFParams, leak: float) -> tuple[Tensor, Tensor]:
    """Return potentials before and after the reset, (B, N) each."""
    u = torch.add(push, v, alpha=1.0 - leak)
    return u, u.masked_fill(u > params.v_th, params.v_reset)


class DifferentiablePlasticity(Protocol):
    """A differentiable plasticity rule: `rules.differentiable` has one of traces, and a formula of events.

    Its state between steps is opaque here.
    """

    def initial(self, weights: Tensor, batch: int) -> Any:
        """Return the initial state of lifetimes with these weights, (n_pre, n_post)."""

    def effective(self, weights: Tensor, state: Any) -> Tensor:
        """Return the effective weights, (B, n_pre, n_post)."""

    def before_spikes(self, state: Any, pre: Tensor, post: Tensor) -> Any:
        """Return the state before the spikes of a step, from earlier traces, in spikes per time constant."""

    def after_spikes(self, state: Any, pre: Tensor, post: Tensor) -> Any:
        """Return the state after a step's spikes, (B, n_pre) and (B, n_post)."""


class LayerState(NamedTuple):
    """State of a layer between two steps."""

    v: Tensor  # (B, n_post) mV: LIF after the reset; SRM-alpha, which has none, the potential of the last step
    refractory: AlphaTrace  # of the layer's own spikes with tau_ref; LIF leaves it at 0
    pre: AlphaTrace  # of its inputs
    post: AlphaTrace  # of its spikes
    plastic: Any  # state of plasticity; None: fixed weights
    spikes: Tensor  # (B, n_post) of the last step


def layer_init(
    batch: int, weights: Tensor, neuron: LIFParams | SRMAlphaParams, plasticity: DifferentiablePlasticity | None = None
) -> LayerState:
    """Return a layer at rest, in the dtype of its weights, (n_pre, n_post)."""
    n_pre, n_post = weights.shape
    before, after = weights.new_zeros(batch, n_pre), weights.new_zeros(batch, n_post)
    v = torch.full_like(after, neuron.v_rest) if isinstance(neuron, LIFParams) else after
    plastic = plasticity.initial(weights, batch) if plasticity else None
    return LayerState(v, alpha_init(after), alpha_init(before), alpha_init(after), plastic, after)


def step(
    state: LayerState,
    inputs: Tensor,
    weights: Tensor,
    plasticity: DifferentiablePlasticity | None,
    neuron: LIFParams | SRMAlphaParams,
    spike_fn: SpikeFunction,
    dt: float = 1.0,
    gain: float = 1.0,
    tau_trace: float = 10.0,
    recurrent: Tensor | None = None,
    damping: Damping = WHOLE,
) -> LayerState:
    """Advance a layer by `dt` ms: plasticity by earlier traces, then neurons, then plasticity by their spikes.

    Args:
        state: Of `layer_init` or an earlier step.
        inputs: Spikes of the layer before, (B, n_pre).
        weights: (n_pre, n_post), mV at the peak of a response for SRM-alpha, as in `forward` for LIF.
        plasticity: Plasticity rule; None: fixed weights.
        neuron: Constants; LIF's options must be off. LIF is driven by spikes within the step; SRM-alpha by alpha
            responses, which start in the step after a spike.
        spike_fn: As in `forward`.
        dt: Step in ms.
        gain: Charge of a spike at weight 1; of SRM-alpha the size of an input spike in its response.
        tau_trace: Time constant of the traces in ms, LIF only; SRM-alpha's are its responses.
        recurrent: Weights among the layer's neurons, (n_post, n_post), fixed: of SRM-alpha's responses to
            earlier spikes, of LIF's spikes in the step before. None: none.
        damping: Scaling of gradients through plasticity.

    Returns:
        The state after the step, with its spikes.

    Raises:
        ValueError: An option of LIF is on.
    """
    plastic, pre = state.plastic, state.pre
    post = AlphaTrace(state.post.rise, clamp_gradient(state.post.level, damping.carry))
    if plasticity is not None:
        plastic = plasticity.before_spikes(plastic, pre.level, scale_gradient(post.level, damping.rule))
        weights = plasticity.effective(weights, plastic)  # (B, n_pre, n_post)
    refractory = state.refractory
    if isinstance(neuron, LIFParams):
        require_plain(neuron)
        leak = dt / neuron.tau_mem
        drive = propagate(inputs.unsqueeze(0), weights).squeeze(0)  # (B, n_post)
        current = pulse(gain, dt) * (drive if recurrent is None else drive + state.spikes @ recurrent)
        u, v = _charge(leak * (neuron.v_rest + neuron.resistance * current), state.v, neuron, leak)
        spikes = spike_fn(u - neuron.v_th)
    else:
        tau_trace = neuron.tau_syn
        drive = gain * propagate(pre.level.unsqueeze(0), weights).squeeze(0)  # (B, n_post)
        v = srm_potential(drive if recurrent is None else drive + post.level @ recurrent, refractory, neuron)
        spikes = spike_fn(v - neuron.v_th)
        refractory = alpha_step(refractory, scale_gradient(spikes, damping.refractory), neuron.tau_ref, dt)
    if plasticity is not None:
        plastic = plasticity.after_spikes(plastic, inputs, scale_gradient(spikes, damping.rule))
    kept = AlphaTrace(pre.rise, clamp_gradient(pre.level, damping.carry))
    pre, post = (alpha_step(trace, now, tau_trace, dt) for trace, now in ((kept, inputs), (post, spikes)))
    return LayerState(v, refractory, pre, post, plastic, spikes)


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
