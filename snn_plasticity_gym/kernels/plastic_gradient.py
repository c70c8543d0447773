"""Gradients of plastic layers through whole sequences, derived analytically: `plastic_layer.py` backwards.

A pass runs each trial again and stores the history of that trial only, so memory does not grow with the batch.
`bar_x` is the derivative of the loss by x.

Axes: T steps, B trials, I presynaptic and O postsynaptic neurons.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.plastic_layer import (
    BCM,
    FANNED,
    OJA,
    PLAIN,
    PROJECTED,
    TRACE,
    UNMODULATED,
    clear,
    forget,
    fresh_history,
    fresh_room,
    fresh_state,
    push_of,
    run_trial,
    signal_of,
)
from snn_plasticity_gym.kernels.plastic_parts import add, clip, copy, dot, unfollow


@compiled(fast_sums=True)
def differentiate_trials(first, last, inputs, p, c, start, bar_spikes, needs_inputs, bar_inputs, bar):
    """Add the gradients of trials `first` to `last` - 1 to `bar`, and compute those of their inputs if required.

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes (T, B, I).
        p: Parameters.
        c: Constants.
        start: As in `run_trials`; gradients end there.
        bar_spikes: Derivatives by the spikes (T, B, O).
        needs_inputs: Whether `bar_inputs` is required.
        bar_inputs: Derivatives by the inputs (T, B, I); of size 1 if not required.
        bar: Derivatives by the parameters.
    """
    num_post, num_pre = p.weights.shape
    history = fresh_history(inputs.shape[0], num_pre, num_post, c.form, inputs)
    spikes = np.empty((inputs.shape[0], 1, num_post), inputs.dtype)
    state, room = fresh_state(num_pre, num_post, inputs), fresh_room(num_pre, num_post, inputs)
    for b in range(first, last):
        run_trial(b, inputs, p, c, start, state, room, spikes, 0, history, True)
        _differentiate(b, p, c, history, state, room, bar_spikes, needs_inputs, bar_inputs, bar)


@inlined(fast_sums=True)
def _differentiate(b, p, c, history, back, room, bar_spikes, needs_inputs, bar_inputs, bar):
    clear(back)
    num_post = len(p.weights)
    for t in range(bar_spikes.shape[0] - 1, -1, -1):
        x, y = history.pre[t], history.post[t]
        if needs_inputs:
            unfollow(back.pre, c.decay, c.rise)
            copy(back.pre[1], bar_inputs[t, b])
            clip(c.carry, back.pre[0], back.pre[0])
        _unfire(c, history.potential[t], bar_spikes[t, b], back.refractory, back.post, room.drive)
        for j in range(num_post):
            add(bar.weights[j], room.drive[j], x)
            if needs_inputs:
                add(back.pre[0], room.drive[j], p.weights[j])
        if c.form != PLAIN:
            _unlearn(t, p, c, history, back, room, needs_inputs, bar)
            add(back.post[0], c.rule_share, room.of_rule)
        if c.recurs:
            for j in range(num_post):
                add(bar.recurrent[j], room.drive[j], y)
                add(back.post[0], room.drive[j], p.recurrent[j])
        clip(c.carry, back.post[0], back.post[0])


@inlined(fast_sums=True)
def _unfire(c, potential, bar_spikes, bar_refractory, bar_post, bar_drive):
    """Backpropagate through traces, refractory response and spikes; compute the derivatives by the drives."""
    unfollow(bar_post, c.decay, c.rise)
    unfollow(bar_refractory, c.decay_ref, c.rise_ref)
    for j in range(len(potential)):
        bar_spike = bar_spikes[j] + bar_post[1, j] + c.refractory_share * bar_refractory[1, j]
        bar_drive[j] = c.e * bar_spike * np.exp(-abs(potential[j] / c.v_th - c.one) / c.width) / c.v_th
        bar_refractory[0, j] -= c.depth * bar_drive[j]


@inlined(fast_sums=True)
def _unlearn(t, p, c, history, back, room, needs_inputs, bar):
    """Backpropagate through the rule in step `t`; compute the derivatives by postsynaptic traces."""
    x = history.pre[t]
    signal = signal_of(c, p, history.post[t])
    bar_signal = c.zero
    room.of_rule[:] = 0
    for j in range(len(room.drive)):
        raw, bar_efficacy = history.unlimited[t + 1, j], back.efficacy[j]
        if needs_inputs:
            clip(c.limit, raw, room.now)
            _add2(back.pre[0], room.drive[j], p.gain[j], room.now)
        _unweigh(c.limit, room.drive[j], x, raw, bar.gain[j], p.gain[j], bar_efficacy)
        if c.form == TRACE:
            bar_m = _untrace(t, j, p, c, history, back, room, needs_inputs, bar)
        else:
            bar_m = _unrule(t, j, p, c, history, back, room, needs_inputs, bar)
        if c.modulation != UNMODULATED:
            bar.bias[j] += bar_m
        if c.modulation == PROJECTED:
            add(bar.projection[j], bar_m, history.post[t])
            add(room.of_rule, bar_m, p.projection[j])
        if c.modulation == FANNED:
            bar.fan[j] += bar_m * signal
            bar_signal += bar_m * p.fan[j]
    if c.modulation == FANNED:
        bar_sum = bar_signal * (c.one - signal * signal)
        add(bar.projection[0], bar_sum, history.post[t])
        add(room.of_rule, bar_sum, p.projection[0])


@inlined(fast_sums=True)
def _unrule(t, j, p, c, history, back, room, needs_inputs, bar):
    """Backpropagate through the change of E of neuron j's synapses at once; return the derivative by m."""
    x, y, m, phi = history.pre[t], history.post[t, j], history.modulation[t, j], history.threshold[t, j]
    push, square = push_of(c.form, m, y, phi)
    rate, bar_efficacy = p.rate[j], back.efficacy[j]
    if needs_inputs:
        _add2(back.pre[0], push, bar_efficacy, rate)
    bar_push = _unpush(push, bar_efficacy, x, rate, bar.rate[j])
    if c.form == BCM:
        bar_modulated = bar_push * (y - phi)
        back.threshold[j] -= bar_push * m * y
        of_rule = bar_modulated * m + bar_push * m * y
    elif c.form == OJA:
        clip(c.limit, history.unlimited[t, j], room.before)
        bar_square = _unforget(c.zero, c.one, bar_efficacy, room.before, rate, square, bar.rate[j], room.now)
        bar_modulated = bar_push + bar_square * y
        of_rule = bar_modulated * m + bar_square * m * y
    else:
        bar_modulated = bar_push
        of_rule = bar_push * m
    of_rule += back.threshold[j] * (y + y) * (c.one - c.keep)
    back.threshold[j] *= c.keep
    room.of_rule[j] += of_rule
    return bar_modulated * y


@inlined(fast_sums=True)
def _untrace(t, j, p, c, history, back, room, needs_inputs, bar):
    """Backpropagate through the modulated eligibility of neuron j's synapses; return the derivative by m."""
    x, y, traced = history.pre[t], history.post[t, j], history.eligibility[t, j]
    rate, bar_efficacy, bar_traced = p.rate[j], back.efficacy[j], back.eligibility[j]
    if needs_inputs:
        _add2(back.pre[0], y, bar_traced, rate)
    room.of_rule[j] += _unpush(y, bar_traced, x, rate, bar.rate[j])
    _unforget(c.zero, c.one, bar_traced, traced, rate, c.one, bar.rate[j], room.now)
    add(bar_traced, history.modulation[t, j], bar_efficacy)
    return dot(bar_efficacy, traced)


@inlined(fast_sums=True)
def _unforget(zero, one, bar_efficacy, before, rate, square, bar_rate, bar_decay):
    """Backpropagate through a decay: from the derivative after it to that before it; return that by `square`."""
    for i in range(len(rate)):
        decay = rate[i] * square
        bar_decay[i] = -bar_efficacy[i] * before[i] if zero <= decay <= one else zero
    forget(zero, one, bar_efficacy, rate, square)
    for i in range(len(rate)):
        bar_rate[i] += bar_decay[i] * square
    return dot(bar_decay, rate)


@inlined(fast_sums=True)
def _unweigh(limit, bar_drive, x, raw, bar_gain, gain, bar_efficacy):
    """Backpropagate from the drive to gain and E; it is 0 where E was clipped."""
    for i in range(len(raw)):
        bar_gain[i] += bar_drive * x[i] * min(max(raw[i], -limit), limit)
    for i in range(len(raw)):
        bar = bar_efficacy[i] + bar_drive * x[i] * gain[i]
        bar_efficacy[i] = bar if abs(raw[i]) <= limit else limit - limit


@inlined(fast_sums=True)
def _unpush(push, bar_efficacy, x, rate, bar_rate):
    """Backpropagate from the change of E to the rate; return the derivative by `push`."""
    bar_push = push - push
    for i in range(len(rate)):
        change = bar_efficacy[i] * x[i]
        bar_rate[i] += push * change
        bar_push += change * rate[i]
    return bar_push


@inlined(fast_sums=True)
def _add2(total, factor, a, b):
    for i in range(len(total)):
        total[i] += factor * a[i] * b[i]
