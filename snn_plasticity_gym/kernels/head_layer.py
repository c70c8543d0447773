"""A layer of SRM-alpha neurons whose weights follow a policy head of events, through whole sequences.

What `networks.differentiable.step` computes with `rules.differentiable_head.DifferentiableHead`, compiled; gradients
are in `head_gradient.py`. Trials go on as in `formula_layer.py`; here is what the head answers.

The first layer of a head is linear, so for one post neuron it is what is of each pre neuron, plus what is of the post
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
    """Where values of one step stand."""

    traced: Real  # (H, I) what is of each pre neuron's traces
    heard: Real  # (H, I) the same, with its spike
    of_post: Real  # (H,) what is of one post neuron
    inner: Real  # (H, I) before ReLU
    sums: Real  # (I,) of the last layer, then its tanh
    others: Real  # (I,) the same for other spikes
    before: Real  # (I,) weights of one neuron's synapses
    change: Real  # (I,) derivative by what the head answers
    outer: Real  # (I,) derivative by the last layer's sum
    by_inner: Real  # (I,) derivative by one hidden neuron's sum
    by_pre: Real  # (H, I) the same, summed over post neurons
    by_spikes: Real  # (I,) derivative by the input spikes through the rule
    by_post: Real  # (O,) derivative by the neuron's spikes through the rule


@compiled(fast_sums=True)
def run_trials(first, last, inputs, weights, layer, readout, decays, c, spikes):
    """Fill in the spikes (T, B, O) of trials `first` to `last` - 1.

    Args:
        first: Trial to begin with.
        last: Trial to end before.
        inputs: Spikes (T, B, I), 0 or 1.
        weights: With which trials begin, within their limits, (O, I).
        layer: First layer of the head, (H, 4 + 2U).
        readout: Last layer, the constant first, (1 + H,).
        decays: Of the head's traces, per step, (U,).
        c: Constants of `formula_layer`.
        spikes: Filled in.
    """
    none = room_for_history(0, weights, decays)
    state, room = fresh_state(weights, decays), fresh_head_room(weights, layer)
    for b in range(first, last):
        run_trial(b, inputs, weights, layer, readout, decays, c, state, room, spikes, b, none, False)


@compiled()
def fresh_head_room(weights, layer):
    """Return room for the values of a step."""
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
        hear(layer, c, state.traces_pre, shown, room)
        heard = shown.sum() > c.zero
        for j in range(len(weights)):
            fires = spikes[t, place, j] > c.zero
            if fires or heard:
                see(layer, fires, state.traces_post, j, room.of_post)
                answer(layer, readout, c, room.heard, room.of_post, state.weights[j], room.inner, room.sums)
                raw = history.unlimited[t + 1, j] if keeps else room.others
                change(c, fires, shown, room.sums, state.weights[j], raw)
            elif keeps:
                copy(state.weights[j], history.unlimited[t + 1, j])
        settle(c, decays, state, shown, spikes[t, place])


@inlined(fast_sums=True)
def hear(layer, c, traces, shown, room):
    """Fill in what the first layer makes of the pre neurons."""
    for h in range(len(layer)):
        room.traced[h, :] = c.zero
        for u in range(len(traces)):
            add(room.traced[h], layer[h, TRACES + u], traces[u])
        copy(room.traced[h], room.heard[h])
        add(room.heard[h], layer[h, PRE], shown)


@inlined(fast_sums=True)
def see(layer, fires, traces, j, of_post):
    """Fill in what the first layer makes of post neuron j, firing or silent."""
    for h in range(len(layer)):
        total = layer[h, CONSTANT]
        if fires:
            total += layer[h, POST]
        for u in range(len(traces)):
            total += layer[h, TRACES + len(traces) + u] * traces[u, j]
        of_post[h] = total


@inlined(fast_sums=True)
def answer(layer, readout, c, of_pre, of_post, weights, inner, answers):
    """Fill in what the head answers at the synapses of one post neuron, and its hidden neurons' sums on the way."""
    answers[:] = readout[0]
    for h in range(len(layer)):
        own, slope, share = inner[h], layer[h, -1], readout[1 + h]
        for i in range(len(weights)):
            own[i] = of_pre[h, i] + of_post[h] + slope * weights[i]
        for i in range(len(weights)):
            answers[i] += share * max(own[i], c.zero)
    squash_all(c, answers)
