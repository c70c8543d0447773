"""A plastic layer of SRM-alpha neurons through whole sequences of spikes, differentiable.

On the CPU compiled loops run it (`kernels/plastic_layer.py`, backwards `kernels/plastic_gradient.py`); elsewhere, and
wherever every state is needed, `step` does, in torch operations. Spikes and gradients are the same. For
a layer of I to O neurons a backward pass keeps T I O numbers in the loops, of one trial at a time, and of the order of
sqrt(T) B I O in torch.

Axes: T steps, B trials.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from snn_plasticity_gym.kernels.plastic_gradient import differentiate_trials
from snn_plasticity_gym.kernels.plastic_layer import (
    BCM,
    FANNED,
    HEBB,
    OJA,
    PLAIN,
    PROJECTED,
    TRACE,
    UNMODULATED,
    Constants,
    Parameters,
    State,
    run_trials,
)
from snn_plasticity_gym.networks.differentiable import LayerState, layer_init, step
from snn_plasticity_gym.networks.gradient_flow import WHOLE, Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.networks.surrogate import spike
from snn_plasticity_gym.rules.backpropamine import Backpropamine
from snn_plasticity_gym.rules.carried_states import from_loops, like_start, map_states, none_at_start, to_loops
from snn_plasticity_gym.rules.differentiable import DifferentiableHebb
from snn_plasticity_gym.rules.differentiable_events import DifferentiableEvents
from snn_plasticity_gym.rules.event_sequence import has_loops, run_events
from snn_plasticity_gym.rules.sequence_loops import layer_constants, summed_gradients
from snn_plasticity_gym.utils.threads import spread

TraceRule = DifferentiableHebb | Backpropamine
SequenceRule = TraceRule | DifferentiableEvents


def run_sequence(
    inputs: Tensor,
    weights: Tensor,
    rule: SequenceRule | None,
    neuron: SRMAlphaParams,
    recurrent: Tensor | None = None,
    dt: float = 1.0,
    width: float = 0.3,
    damping: Damping = WHOLE,
    charge: float = 1.0,
) -> Tensor:
    """Run a layer from rest through T steps.

    Args:
        inputs: Spikes of the layer before, (T, B, n_pre), in the dtype of the weights.
        weights: (n_pre, n_post), as for `step`.
        rule: Plasticity rule; None: fixed weights.
        neuron: Constants.
        recurrent: Weights among the layer's neurons, (n_post, n_post), or None.
        dt: Step in ms.
        width: Of the surrogate exp(-|u / v_th - 1| / width) / v_th.
        damping: Scaling of gradients through plasticity.
        charge: Size of an input spike in responses, and in the traces of trace-based rules.

    Returns:
        Spikes, (T, B, n_post).

    Raises:
        ValueError: The damping is out of range, or shapes or types do not fit together.
    """
    damping.check()
    _check_shapes(inputs, weights, rule, recurrent)
    inputs, charge = _charged(inputs, rule, charge)
    recurs = recurrent is not None
    if not runs_in_loops(weights) or (isinstance(rule, DifferentiableEvents) and (recurs or not has_loops(rule))):
        state = layer_init(inputs.shape[1], weights, neuron, rule)
        return _run_steps(state, inputs, weights, rule, neuron, recurrent, dt, width, damping, charge)[0]
    if isinstance(rule, DifferentiableEvents):
        return run_events(inputs, weights, rule, neuron, dt, width, damping, charge)
    constants, none = _constants(rule, neuron, recurs, dt, width, damping, weights.dtype), none_at_start(weights)
    spikes: Tensor = _Sequence.apply(constants, none, none, inputs.contiguous(), *_rows(weights, rule, recurrent))
    return spikes


def carry_on(
    state: LayerState,
    inputs: Tensor,
    weights: Tensor,
    rule: SequenceRule | None,
    neuron: SRMAlphaParams,
    recurrent: Tensor | None = None,
    dt: float = 1.0,
    width: float = 0.3,
    damping: Damping = WHOLE,
    charge: float = 1.0,
) -> tuple[Tensor, LayerState]:
    """Run a layer through T steps from a given state; gradients of the spikes go back to the first of these steps.

    Args:
        state: Of `layer_init`, or of an earlier call with the same settings.
        inputs: As of `run_sequence`, and so are all others.
        weights: Likewise.
        rule: Likewise; rules of events run step by step.
        neuron: Likewise.
        recurrent: Likewise.
        dt: Likewise.
        width: Likewise.
        damping: Likewise.
        charge: Likewise.

    Returns:
        Spikes, (T, B, n_post), and the detached state after them.

    Raises:
        ValueError: As `run_sequence`, or the state is one of another number of trials.
    """
    damping.check()
    _check_shapes(inputs, weights, rule, recurrent)
    if len(state.spikes) != inputs.shape[1]:
        raise ValueError(f"the state must be one of {inputs.shape[1]} trials, as inputs, got {len(state.spikes)}")
    inputs, charge = _charged(inputs, rule, charge)
    before = map_states(Tensor.detach, state)
    if not runs_in_loops(weights) or isinstance(rule, DifferentiableEvents):
        spikes, after = _run_steps(before, inputs, weights, rule, neuron, recurrent, dt, width, damping, charge)
        return spikes, map_states(Tensor.detach, after)
    constants = _constants(rule, neuron, recurrent is not None, dt, width, damping, weights.dtype)
    start = to_loops(before, weights)
    end = like_start(start)
    spikes = _Sequence.apply(constants, start, end, inputs.contiguous(), *_rows(weights, rule, recurrent))
    return spikes, from_loops(end, before, spikes[-1])


def states_of(
    inputs: Tensor,
    weights: Tensor,
    rule: SequenceRule | None,
    neuron: SRMAlphaParams,
    recurrent: Tensor | None = None,
    dt: float = 1.0,
    width: float = 0.3,
    damping: Damping = WHOLE,
    charge: float = 1.0,
) -> Iterator[LayerState]:
    """Yield the layer's state after each step; arguments as those of `run_sequence`, on any device."""
    state = layer_init(inputs.shape[1], weights, neuron, rule)
    inputs, charge = _charged(inputs, rule, charge)
    yield from _walk(state, inputs, weights, rule, neuron, recurrent, dt, width, damping, charge)


def _charged(inputs: Tensor, rule: SequenceRule | None, charge: float) -> tuple[Tensor, float]:
    """Scale inputs by the charge for trace-based rules; return them and the remaining factor for rules of events."""
    if isinstance(rule, DifferentiableEvents) or charge == 1.0:
        return inputs, charge
    return charge * inputs, 1.0


def _run_steps(
    state: LayerState,
    inputs: Tensor,
    weights: Tensor,
    rule: SequenceRule | None,
    neuron: SRMAlphaParams,
    *others: Any,
) -> tuple[Tensor, LayerState]:
    """Run `step` in chunks of sqrt(T) steps; the backward pass reruns each chunk from its stored initial state."""

    def run(state: LayerState, chunk: Tensor) -> tuple[LayerState, Tensor]:
        states = list(_walk(state, chunk, weights, rule, neuron, *others))
        return states[-1], torch.stack([one.spikes for one in states])

    spikes = []
    for chunk in inputs.split(max(1, math.isqrt(len(inputs)))):
        state, fired = checkpoint(run, state, chunk, use_reentrant=False)
        spikes.append(fired)
    return torch.cat(spikes), state


def _walk(
    state: LayerState,
    inputs: Tensor,
    weights: Tensor,
    rule: SequenceRule | None,
    neuron: SRMAlphaParams,
    recurrent: Tensor | None,
    dt: float,
    width: float,
    damping: Damping,
    charge: float,
) -> Iterator[LayerState]:
    """Yield the states after each step, from a given one."""
    spike_fn = functools.partial(_spike, v_th=neuron.v_th, width=width)
    for now in inputs.unbind(0):
        state = step(state, now, weights, rule, neuron, spike_fn, dt, charge, recurrent=recurrent, damping=damping)
        yield state


def runs_in_loops(weights: Tensor) -> bool:
    """Whether compiled loops run a layer with these weights."""
    return weights.device.type == "cpu" and weights.dtype in (torch.float32, torch.float64)


def _check_shapes(inputs: Tensor, weights: Tensor, rule: SequenceRule | None, recurrent: Tensor | None) -> None:
    """Check the shapes, which loops do not."""
    n_pre, n_post = weights.shape
    if inputs.ndim != 3 or not inputs.numel() or inputs.shape[2] != n_pre or inputs.dtype != weights.dtype:
        raise ValueError(
            f"inputs must be (steps, trials, {n_pre}) in {weights.dtype}, as the weights are, got "
            f"{tuple(inputs.shape)} in {inputs.dtype}"
        )
    shape = () if rule is None else rule.shape
    if shape not in ((), (n_pre, n_post)):
        raise ValueError(f"the rule must be one of {n_pre} to {n_post} neurons, as the weights, got {shape}")
    if recurrent is not None and recurrent.shape != (n_post, n_post):
        raise ValueError(f"recurrent must be ({n_post}, {n_post}), got {tuple(recurrent.shape)}")


def _spike(x: Tensor, v_th: float, width: float) -> Tensor:
    """Spike where x = u - v_th is positive; the width of the surrogate is counted in thresholds."""
    return spike(x / v_th, "exponential", width)


def _rows(weights: Tensor, rule: TraceRule | None, recurrent: Tensor | None) -> list[Tensor]:
    """Return `Parameters`: a row for each postsynaptic neuron."""
    among = weights.new_zeros(1, 1) if recurrent is None else recurrent
    return [part.t().contiguous() for part in (weights, among, *_coefficients(rule, weights))]


def _coefficients(rule: TraceRule | None, weights: Tensor) -> list[Tensor]:
    """Return gain, rate, projection, bias and fan of a rule, as in `Parameters` but transposed."""
    none, nothing = weights.new_zeros(1, 1), weights.new_zeros(1)
    if rule is None:
        return [none, none, none, nothing, nothing]
    rate = torch.ones_like(weights) if rule.rate is None else rule.rate.expand(rule.shape)
    of_rule = [rule.gain.expand(rule.shape), rate]
    if rule.bias is None:
        return [*of_rule, none, nothing, nothing]
    return [*of_rule, rule.projection, rule.bias, rule.fan if isinstance(rule, Backpropamine) else nothing]


def _constants(
    rule: TraceRule | None,
    neuron: SRMAlphaParams,
    recurs: bool,
    dt: float,
    width: float,
    damping: Damping,
    dtype: torch.dtype,
) -> Constants:
    form, modulation = PLAIN, UNMODULATED
    of_rule = {"limit": math.inf if rule is None else rule.limit, "keep": 0.0}
    if isinstance(rule, Backpropamine):
        form, modulation = TRACE if rule.retroactive else HEBB, FANNED
    elif rule is not None:
        form, modulation = {"oja": OJA, "bcm": BCM}[rule.form], UNMODULATED if rule.bias is None else PROJECTED
        of_rule["keep"] = rule.keep
    return Constants(form, modulation, recurs, **layer_constants(neuron, dt, width, damping, dtype, of_rule))


class _Sequence(torch.autograd.Function):
    """Constants, start, inputs (T, B, n_pre) and `Parameters` to spikes (T, B, n_post); `end` is filled in."""

    @staticmethod
    def forward(
        ctx: Any, constants: Constants, start: State, end: State, inputs: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.fixed = constants, start
        ctx.save_for_backward(inputs, *parameters)
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, *parameters))
        spikes = inputs.new_empty(*inputs.shape[:2], len(parameters[0]))  # (T, B, n_post)
        into = spikes.numpy()
        held = Parameters(*values)
        spread(lambda a, b: run_trials(a, b, shown, held, constants, start, into, end), inputs.shape[1])
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *parameters = ctx.saved_tensors
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, *parameters))
        by_spikes, needs_inputs = gradients[0].contiguous().numpy(), ctx.needs_input_grad[3]

        def differentiate(first: int, last: int, into: np.ndarray, bars: list[np.ndarray]) -> None:
            bar = Parameters(*bars)
            differentiate_trials(
                first, last, shown, Parameters(*values), *ctx.fixed, by_spikes, needs_inputs, into, bar
            )

        return None, None, None, *summed_gradients(differentiate, inputs, parameters, needs_inputs)
