"""Gradients of a layer whose weights are changed by a policy head of events (`head_layer.py`), derived analytically.

The backward pass runs each trial again and stores the history of that trial only, so memory does not grow with the
batch. `bar_x` is the derivative of the loss by x. The derivative by a spike is the difference of changes with
and without it, as in `formula_gradient.py`. Axes: as in `head_layer.py`.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.formula_gradient import by_spike, limit, unfade_all, unfire, unhear_all, unlimit
from snn_plasticity_gym.kernels.formula_layer import clear, fresh_state, room_for_history, times_each
from snn_plasticity_gym.kernels.head_layer import (
    CONSTANT,
    POST,
    PRE,
    TRACES,
    fill_post,
    fill_pre,
    fresh_head_room,
    head_outputs,
    run_trial,
)
from snn_plasticity_gym.kernels.plastic_parts import add, dot


@compiled(fast_sums=True)
def differentiate_trials(
    first, last, inputs, weights, layer, readout, decays, c, bar_spikes, needs_inputs, bar_inputs, bar_weights,
    bar_layer, bar_readout,
):  # fmt: skip
    """Add the gradients of trials `first` to `last` - 1, and compute those of their inputs if required.

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes (T, B, I).
        weights: As in `run_trials`.
        layer: As in `run_trials`.
        readout: As in `run_trials`.
        decays: Of the head's traces.
        c: Constants.
        bar_spikes: Derivatives by the spikes (T, B, O).
        needs_inputs: Whether `bar_inputs` is required.
        bar_inputs: Derivatives by the inputs (T, B, I); of size 1 if not required.
        bar_weights: Derivatives by the weights, (O, I).
        bar_layer: Derivatives by the first layer, (H, 4 + 2U).
        bar_readout: Derivatives by the last layer, (1 + H,).
    """
    history = room_for_history(inputs.shape[0], weights, decays)
    spikes = np.empty((inputs.shape[0], 1, len(weights)), inputs.dtype)
    state, room = fresh_state(weights, decays), fresh_head_room(weights, layer)
    for b in range(first, last):
        run_trial(b, inputs, weights, layer, readout, decays, c, state, room, spikes, 0, history, True)
        clear(state)
        for t in range(inputs.shape[0] - 1, -1, -1):
            shown = inputs[t, b]
            room.by_pre[:] = c.zero
            unfade_all(c, decays, state, room.by_post, room.by_spikes)
            fill_pre(layer, c, history.traces_pre[t], shown, room)
            for j in range(len(weights)):
                fires = spikes[t, 0, j] > c.zero
                _unlearn(
                    t, j, layer, readout, c, history, shown, fires, state, room, needs_inputs, bar_layer, bar_readout
                )
            _unhear(layer, shown, history.traces_pre[t], room.by_pre, needs_inputs, state.traces_pre, bar_layer)
            if needs_inputs:
                unhear_all(c, state, room.by_spikes, bar_inputs[t, b])
            unfire(t, c, history, state, bar_spikes[t, b], room.by_post, needs_inputs, room.before)
        for j in range(len(weights)):
            add(bar_weights[j], c.one, state.weights[j])


@inlined(fast_sums=True)
def _unlearn(t, j, layer, readout, c, history, shown, fires, back, room, needs_inputs, bar_layer, bar_readout):
    """Backpropagate through the change of the weights to post neuron j in step t."""
    limit(c, history.unlimited[t, j], room.before)
    unlimit(c, history.unlimited[t + 1, j], back.weights[j], room.change)
    traces = history.traces_post[t]
    fill_post(layer, not fires, traces, j, room.of_post)
    head_outputs(layer, readout, c, room.with_spikes, room.of_post, room.before, room.inner, room.others)
    fill_post(layer, fires, traces, j, room.of_post)
    head_outputs(layer, readout, c, room.with_spikes, room.of_post, room.before, room.inner, room.sums)
    room.by_post[j] += by_spike(fires, room.change, shown, room.sums, room.others)
    for i in range(len(shown)):
        room.outer[i] = room.change[i] * (c.one - room.sums[i] * room.sums[i])
    if not fires:
        times_each(room.outer, shown)
    bar_readout[0] += room.outer.sum()
    for h in range(len(layer)):
        own, share = room.inner[h], readout[1 + h]
        total = c.zero
        for i in range(len(own)):
            total += room.outer[i] * max(own[i], c.zero)
        bar_readout[1 + h] += total
        for i in range(len(own)):
            room.by_inner[i] = share * room.outer[i] if own[i] > c.zero else c.zero
        add(room.by_pre[h], c.one, room.by_inner)
        add(back.weights[j], layer[h, -1], room.by_inner)
        bar_layer[h, -1] += dot(room.by_inner, room.before)
        by_post = room.by_inner.sum()
        bar_layer[h, CONSTANT] += by_post
        if fires:
            bar_layer[h, POST] += by_post
        for u in range(len(traces)):
            column = TRACES + len(traces) + u
            bar_layer[h, column] += by_post * traces[u, j]
            back.traces_post[u, j] += by_post * layer[h, column]
    if needs_inputs:
        _unspike(layer, readout, c, fires, room)


@inlined(fast_sums=True)
def _unspike(layer, readout, c, fires, room):
    """Backpropagate from the change to the input spikes: its output with each spike, less without."""
    for h in range(len(layer)):
        for i in range(room.traced.shape[1]):
            room.inner[h, i] = room.traced[h, i] + layer[h, PRE]
    head_outputs(layer, readout, c, room.inner, room.of_post, room.before, room.inner, room.others)
    for i in range(len(room.others)):
        room.by_spikes[i] += room.change[i] * room.others[i]
    if not fires:
        return  # no event without the input spike
    head_outputs(layer, readout, c, room.traced, room.of_post, room.before, room.inner, room.others)
    for i in range(len(room.others)):
        room.by_spikes[i] -= room.change[i] * room.others[i]


@inlined(fast_sums=True)
def _unhear(layer, shown, traces, by_pre, needs_inputs, bar_traces, bar_layer):
    """Backpropagate from the first layer's part of the pre neurons to its columns, and to their traces if required."""
    for h in range(len(layer)):
        bar_layer[h, PRE] += dot(by_pre[h], shown)
        for u in range(len(traces)):
            bar_layer[h, TRACES + u] += dot(by_pre[h], traces[u])
            if needs_inputs:
                add(bar_traces[u], layer[h, TRACES + u], by_pre[h])
