"""The winner-take-all network of `rwta` with spikes: one spike per group and step, fields from windowed potentials.

In each step of 1 ms an input spikes with probability equal to its value, and in each group the spiking neuron is
sampled from the softmax of the fields. Fields use postsynaptic traces in place of rates,

    trace <- trace + a (spike - trace),   a = 1 - exp(-1 / tau),

divided by their own running sum of weights, so that a neuron of constant rate has that rate as its expected trace from
the first step on. As tau and the window grow, mean spike counts go to the rates of the mean field.

Axes: B batch, S inputs, N neurons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.networks.rwta import (
    GroupLayout,
    RWTAWeights,
    one_hot_action,
    sample_groups,
    softmax_groups,
)


class Traces(NamedTuple):
    """State of a network between steps."""

    inputs: Tensor  # (B, S)
    neurons: Tensor  # (B, N)
    weight: float  # sum of the kernel so far, in [0, 1)


class Window(NamedTuple):
    """Mean activity in a window of steps."""

    inputs: Tensor  # mean spikes a step, (B, S)
    rates: Tensor  # mean spikes a step, (B, N)
    chances: Tensor  # mean spike probability in a step by potentials, (B, N)
    traces: Traces


def silent_traces(inputs: Tensor, layout: GroupLayout) -> Traces:
    """Return the traces of a silent network, for inputs (B, S)."""
    return Traces(torch.zeros_like(inputs), inputs.new_zeros(len(inputs), layout.num_neurons), 0.0)


def run_window(
    weights: RWTAWeights,
    layout: GroupLayout,
    inputs: Tensor,
    traces: Traces,
    generator: torch.Generator,
    *,
    steps: int,
    tau: float,
    skip: int = 0,
    action: Tensor | None = None,
) -> Window:
    """Simulate a window of steps and count spikes.

    Args:
        weights: Those of the network.
        layout: Its sizes and connections.
        inputs: Spike probabilities per step, in [0, 1], (B, S).
        traces: Initial traces; not changed.
        generator: Of the inputs' device.
        steps: Steps of 1 ms, at least 1.
        tau: Time constant of the postsynaptic traces, ms.
        skip: First steps, not counted, fewer than `steps`.
        action: Clamped action, with its neuron spiking in every step, int64 (B,); None: the action group is free.

    Raises:
        ValueError: No step would be counted, or tau is not positive.
    """
    if not 0 <= skip < steps:
        raise ValueError(f"skip must be at least 0 and below steps={steps}, got {skip}")
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    gain = 1.0 - math.exp(-1.0 / tau)
    input_trace, trace, weight = traces.inputs.clone(), traces.neurons.clone(), traces.weight
    input_count, count, chance_sum = torch.zeros_like(input_trace), torch.zeros_like(trace), torch.zeros_like(trace)
    for step in range(steps):
        input_spikes = (torch.rand(inputs.shape, generator=generator, device=inputs.device) < inputs).to(inputs.dtype)
        input_trace.lerp_(input_spikes, gain)
        grown = weight + gain * (1.0 - weight)
        fields = torch.addmm(weights.bias, input_trace / grown, weights.inputs)  # (B, N)
        if weight > 0:
            fields = torch.addmm(fields, trace / weight, weights.lateral)
        chances = softmax_groups(fields, layout)
        spikes = sample_groups(chances, layout, generator)
        if action is not None:
            spikes, chances = (one_hot_action(of, action, layout) for of in (spikes, chances))
        trace.lerp_(spikes, gain)
        weight = grown
        if step >= skip:
            count += spikes
            chance_sum += chances
            input_count += input_spikes
    counted = steps - skip
    traces = Traces(input_trace, trace, weight)
    return Window(input_count / counted, count / counted, chance_sum / counted, traces)
