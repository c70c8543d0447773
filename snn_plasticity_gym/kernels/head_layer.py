"""A layer of SRM-alpha neurons whose weights are changed by a policy head of events, through whole sequences.

What `networks.differentiable.step` computes with `rules.differentiable_head.DifferentiableHead`, compiled; gradients
are in `head_gradient.py`. Trials run as in `formula_layer.py`; this file computes the output of the head.

The first layer of a head is linear, so for one post neuron it is a part of each pre neuron, plus a part of the post
neuron, plus a multiple of each weight.

Axes: I presynaptic and O postsynaptic neurons, H hidden neurons of the head, U time constants of traces, and T steps, B
trials. A row of the first layer holds 4 + 2U numbers: constant, pre, post, pre traces, post traces, weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.formula_layer import (
    Real,
    begin,
    change,
    fire,
    fresh_state,
    room_for_history,
    settle,
    squash_all,
)
from snn_plasticity_gym.kernels.plastic_parts import add, copy

CONSTANT, PRE, POST, TRACES = range(4)  # columns of the first layer; the weight's is the last


class HeadRoom(NamedTuple):
    """Workspace for the values of one step."""

    traced: Real  # (H, I) part of each pre neuron's traces
    with_spikes: Real  # (H, I) the same, with its spike
    of_post: Real  # (H,) part of one post neuron
    inner: Real  # (H, I) before ReLU
    sums: Real  # (I,) of the last layer, then its tanh
    others: Real  # (I,) the same for other spikes
    before: Real  # (I,) weights of one neuron's synapses
    change: Real  # (I,) derivative by the output of the head
    outer: Real  # (I,) derivative by the last layer's sum
    by_inner: Real  # (I,) derivative by one hidden neuron's sum
    by_pre: Real  # (H, I) the same, summed over post neurons
    by_spikes: Real  # (I,) derivative by the input spikes through the rule
    by_post: Real  # (O,) derivative by the neuron's spikes through the rule


@compiled(fast_sums=True)
def run_trials(first, last, inputs, weights, layer, readout, decays, c, spikes):
    """Compute the spikes (T, B, O) of trials `first` to `last` - 1.

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes (T, B, I), 0 or 1.
        weights: Initial weights, within their limits, (O, I).
        layer: First layer of the head, (H, 4 + 2U).
        readout: Last layer, the constant first, (1 + H,).
        decays: Of the head's traces, per step, (U,).
        c: Constants of `formula_layer`.
        spikes: Output.
    """
    none = room_for_history(0, weights, decays)
    state, room = fresh_state(weights, decays), fresh_head_room(weights, layer)
    for b in range(first, last):
        run_trial(b, inputs, weights, layer, readout, decays, c, state, room, spikes, b, none, False)


@compiled()
def fresh_head_room(weights, layer):
    """Allocate the workspace of a step."""
    num_post, num_pre = weights.shape
    by_hidden = np.zeros((4, len(layer), num_pre), weights.dtype)
    by_synapse = np.zeros((7, num_pre), weights.dtype)
    return HeadRoom(
        by_hidden[0], by_hidden[1], np.zeros(len(layer), weights.dtype), by_hidden[2],
        by_synapse[0], by_synapse[1], by_synapse[2], by_synapse[3], by_synapse[4], by_synapse[5],
        by_hidden[3], by_synapse[6], np.zeros(num_post, weights.dtype),
    )  # fmt: skip


@inlined(fast_sums=True)
def run_trial(b, inputs, weights, layer, readout, decays, c, state, room, spikes, place, history, keeps):
    """Run trial `b`; its spikes go to `spikes[:, place]`."""
    begin(weights, state, history, keeps)
    for t in range(inputs.shape[0]):
        shown = inputs[t, b]
        fire(t, c, state, spikes[t, place], history, keeps)
        fill_pre(layer, c, state.traces_pre, shown, room)
        with_spikes = shown.sum() > c.zero
        for j in range(len(weights)):
            fires = spikes[t, place, j] > c.zero
            if fires or with_spikes:
                fill_post(layer, fires, state.traces_post, j, room.of_post)
                head_outputs(layer, readout, c, room.with_spikes, room.of_post, state.weights[j], room.inner, room.sums)
                raw = history.unlimited[t + 1, j] if keeps else room.others
                change(c, fires, shown, room.sums, state.weights[j], raw)
            elif keeps:
                copy(state.weights[j], history.unlimited[t + 1, j])
        settle(c, decays, state, shown, spikes[t, place])


@inlined(fast_sums=True)
def fill_pre(layer, c, traces, shown, room):
    """Compute the first layer's part of the pre neurons."""
    for h in range(len(layer)):
        room.traced[h, :] = c.zero
        for u in range(len(traces)):
            add(room.traced[h], layer[h, TRACES + u], traces[u])
        copy(room.traced[h], room.with_spikes[h])
        add(room.with_spikes[h], layer[h, PRE], shown)


@inlined(fast_sums=True)
def fill_post(layer, fires, traces, j, of_post):
    """Compute the first layer's part of post neuron j, spiking or silent."""
    for h in range(len(layer)):
        total = layer[h, CONSTANT]
        if fires:
            total += layer[h, POST]
        for u in range(len(traces)):
            total += layer[h, TRACES + len(traces) + u] * traces[u, j]
        of_post[h] = total


@inlined(fast_sums=True)
def head_outputs(layer, readout, c, of_pre, of_post, weights, inner, outputs):
    """Compute the head's output at the synapses of one post neuron, and its hidden neurons' sums."""
    outputs[:] = readout[0]
    for h in range(len(layer)):
        own, slope, share = inner[h], layer[h, -1], readout[1 + h]
        for i in range(len(weights)):
            own[i] = of_pre[h, i] + of_post[h] + slope * weights[i]
        for i in range(len(weights)):
            outputs[i] += share * max(own[i], c.zero)
    squash_all(c, outputs)
