"""A plastic layer of SRM-alpha neurons through whole sequences and backwards: `networks.differentiable.step` compiled.

The gradients are derived by hand. The backward pass runs each trial once more and keeps the history of that one trial,
so memory does not grow with the batch. Equations stand in `step`, `rules.differentiable.DifferentiableHebb` and
`networks.srm_alpha`; `bar_x` is the derivative of the loss by x.

Loops over synapses are short and touch few arrays each: only then are they run on the processor's vectors.

Axes: T steps, B trials, I presynaptic and O postsynaptic neurons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.plastic_parts import add, clip, copy, dot, follow, unfollow

Real = NDArray[np.float32] | NDArray[np.float64]

PLAIN, OJA, BCM = range(3)


class Parameters(NamedTuple):
    """What gradients are for, all of one type; of size 1 where a part is not there."""

    weights: Real  # (O, I), as all of these with a row for each neuron that they act on
    recurrent: Real  # (O, O)
    gain: Real  # (O, I)
    rate: Real  # (O, I)
    projection: Real  # (O, O)
    bias: Real  # (O,)


class Constants(NamedTuple):
    """What gradients are not for; the real ones are of the parameters' type, in which loops then compute."""

    form: int  # PLAIN, OJA or BCM
    modulated: bool  # projection and bias are there
    recurs: bool  # recurrent is there
    limit: float  # of |E|
    keep: float  # of BCM's threshold, per step
    decay: float  # of the traces, per step
    rise: float  # dt / tau of the traces
    decay_ref: float  # of the refractory response
    rise_ref: float
    depth: float  # of the refractory response, scale_ref * v_th in mV
    v_th: float  # mV
    width: float  # of the surrogate exp(-|u / v_th - 1| / width)
    rule_share: float  # of the gradient that reaches postsynaptic traces through the rule
    refractory_share: float  # of the gradient through the refractory response
    carry: float  # largest derivative by a trace that a step hands to the one before
    zero: float
    one: float
    e: float  # Euler's number


class History(NamedTuple):
    """What a trial leaves for its backward pass."""

    pre: Real  # (T, I) traces that step t sees
    post: Real  # (T, O)
    unlimited: Real  # (T + 1, O, I) E after t steps, before it is clipped
    modulation: Real  # (T, O) m in step t
    threshold: Real  # (T, O) phi in step t
    potential: Real  # (T, O) u in step t, mV


class State(NamedTuple):
    """A trial between two steps, or the derivatives by it on the way back."""

    efficacy: Real  # (O, I) E
    pre: Real  # (2, I) level and rise of the traces, as in `AlphaTrace`
    post: Real  # (2, O)
    refractory: Real  # (2, O)
    threshold: Real  # (O,) phi


class Room(NamedTuple):
    """Where values of one step stand."""

    now: Real  # (I,) of one neuron's synapses
    before: Real  # (I,)
    modulation: Real  # (O,)
    drive: Real  # (O,)
    of_rule: Real  # (O,) derivative by the postsynaptic traces through the rule


@compiled(fast_sums=True)
def run_trials(first, last, inputs, p, c, spikes):
    """Fill in the spikes (T, B, O) of trials `first` to `last` - 1, driven by input spikes (T, B, I)."""
    num_post, num_pre = p.weights.shape
    none = _room_for_history(0, num_pre, num_post, inputs)
    state, room = _state(num_pre, num_post, inputs), _room(num_pre, num_post, inputs)
    for b in range(first, last):
        _run(b, inputs, p, c, state, room, spikes, b, none, False)


@compiled(fast_sums=True)
def differentiate_trials(first, last, inputs, p, c, bar_spikes, needs_inputs, bar_inputs, bar):
    """Add the gradients of trials `first` to `last` - 1 to `bar`, and fill in those of their inputs if needed.

    Args:
        first: Trial to begin with.
        last: Trial to end before.
        inputs: Spikes (T, B, I).
        p: Parameters.
        c: Constants.
        bar_spikes: Derivatives by the spikes (T, B, O).
        needs_inputs: Whether `bar_inputs` is wanted.
        bar_inputs: Derivatives by the inputs (T, B, I); of size 1 if they are not wanted.
        bar: Derivatives by the parameters.
    """
    num_post, num_pre = p.weights.shape
    history = _room_for_history(inputs.shape[0], num_pre, num_post, inputs)
    spikes = np.empty((inputs.shape[0], 1, num_post), inputs.dtype)
    state, room = _state(num_pre, num_post, inputs), _room(num_pre, num_post, inputs)
    for b in range(first, last):
        _run(b, inputs, p, c, state, room, spikes, 0, history, True)
        _differentiate(b, p, c, history, state, room, bar_spikes, needs_inputs, bar_inputs, bar)


@compiled()
def _room_for_history(num_steps, num_pre, num_post, like):
    return History(
        np.zeros((num_steps, num_pre), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps + 1, num_post, num_pre), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
    )


@compiled()
def _state(num_pre, num_post, like):
    return State(
        np.zeros((num_post, num_pre), like.dtype),
        np.zeros((2, num_pre), like.dtype),
        np.zeros((2, num_post), like.dtype),
        np.zeros((2, num_post), like.dtype),
        np.zeros(num_post, like.dtype),
    )


@compiled()
def _room(num_pre, num_post, like):
    return Room(
        np.zeros(num_pre, like.dtype),
        np.zeros(num_pre, like.dtype),
        np.ones(num_post, like.dtype),
        np.zeros(num_post, like.dtype),
        np.zeros(num_post, like.dtype),
    )


@inlined()
def _clear(state):
    state.efficacy[:] = 0
    state.pre[:] = 0
    state.post[:] = 0
    state.refractory[:] = 0
    state.threshold[:] = 0


@inlined(fast_sums=True)
def _run(b, inputs, p, c, state, room, spikes, place, history, keeps):
    """Run trial `b`; its spikes go to `spikes[:, place]`."""
    _clear(state)
    num_post = len(p.weights)
    for t in range(inputs.shape[0]):
        x, y = state.pre[0], state.post[0]
        if keeps:
            copy(x, history.pre[t])
            copy(y, history.post[t])
        for j in range(num_post):
            drive = dot(p.weights[j], x)
            if c.recurs:
                drive += dot(p.recurrent[j], y)
            if c.form != PLAIN:
                m = p.bias[j] + dot(p.projection[j], y) if c.modulated else c.one
                state.threshold[j] = c.keep * state.threshold[j] + (c.one - c.keep) * y[j] * y[j]
                push, square = _push(c.form, m, y[j], state.threshold[j])
                raw = history.unlimited[t + 1, j] if keeps else room.now
                if c.form == OJA:
                    _forget(c.zero, c.one, state.efficacy[j], p.rate[j], square)
                drive += _grow(c.limit, state.efficacy[j], p.rate[j], x, push, raw, p.gain[j])
                if keeps:
                    history.modulation[t, j] = m
                    history.threshold[t, j] = state.threshold[j]
            room.drive[j] = drive
        for j in range(num_post):
            u = c.e * (room.drive[j] - c.depth * state.refractory[0, j])
            spikes[t, place, j] = c.one if u > c.v_th else c.zero
            if keeps:
                history.potential[t, j] = u
        follow(state.refractory, spikes[t, place], c.decay_ref, c.rise_ref)
        follow(state.post, spikes[t, place], c.decay, c.rise)
        follow(state.pre, inputs[t, b], c.decay, c.rise)


@inlined(fast_sums=True)
def _push(form, m, y, phi):
    """Return what the rule multiplies a presynaptic trace by, and what Oja's decay is, both over the rate."""
    return (m * y * (y - phi) if form == BCM else m * y), m * y * y


@inlined(fast_sums=True)
def _forget(zero, one, efficacy, rate, square):
    """Let E of the synapses of one neuron decay."""
    for i in range(len(rate)):
        efficacy[i] *= one - min(max(rate[i] * square, zero), one)


@inlined(fast_sums=True)
def _grow(limit, efficacy, rate, x, push, raw, gain):
    """Change E of the synapses of one neuron and return what they drive it with; `raw` is E before it is clipped."""
    drive = limit - limit
    for i in range(len(rate)):
        raw[i] = efficacy[i] + rate[i] * x[i] * push
    for i in range(len(rate)):
        held = min(max(raw[i], -limit), limit)
        efficacy[i] = held
        drive += held * gain[i] * x[i]
    return drive


@inlined(fast_sums=True)
def _differentiate(b, p, c, history, back, room, bar_spikes, needs_inputs, bar_inputs, bar):
    _clear(back)
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
    """Go back through traces, refractory response and spikes; fill in the derivatives by the drives."""
    unfollow(bar_post, c.decay, c.rise)
    unfollow(bar_refractory, c.decay_ref, c.rise_ref)
    for j in range(len(potential)):
        bar_spike = bar_spikes[j] + bar_post[1, j] + c.refractory_share * bar_refractory[1, j]
        bar_drive[j] = c.e * bar_spike * np.exp(-abs(potential[j] / c.v_th - c.one) / c.width) / c.v_th
        bar_refractory[0, j] -= c.depth * bar_drive[j]


@inlined(fast_sums=True)
def _unlearn(t, p, c, history, back, room, needs_inputs, bar):
    """Go back through what the rule did in step `t`; fill in the derivatives by postsynaptic traces."""
    x = history.pre[t]
    room.of_rule[:] = 0
    for j in range(len(room.drive)):
        y, m, phi = history.post[t, j], history.modulation[t, j], history.threshold[t, j]
        push, square = _push(c.form, m, y, phi)
        rate, raw, bar_efficacy = p.rate[j], history.unlimited[t + 1, j], back.efficacy[j]
        if needs_inputs:
            clip(c.limit, raw, room.now)
            _add2(back.pre[0], room.drive[j], p.gain[j], room.now)
        _unweigh(c.limit, room.drive[j], x, raw, bar.gain[j], p.gain[j], bar_efficacy)
        if needs_inputs:
            _add2(back.pre[0], push, bar_efficacy, rate)
        bar_push = _unpush(push, bar_efficacy, x, rate, bar.rate[j])
        if c.form == BCM:
            bar_modulated = bar_push * (y - phi)
            back.threshold[j] -= bar_push * m * y
            of_rule = bar_modulated * m + bar_push * m * y
        else:
            clip(c.limit, history.unlimited[t, j], room.before)
            bar_square = _unforget(c.zero, c.one, bar_efficacy, room.before, rate, square, bar.rate[j], room.now)
            bar_modulated = bar_push + bar_square * y
            of_rule = bar_modulated * m + bar_square * m * y
        of_rule += back.threshold[j] * (y + y) * (c.one - c.keep)
        back.threshold[j] *= c.keep
        room.of_rule[j] += of_rule
        if c.modulated:
            bar.bias[j] += bar_modulated * y
            add(bar.projection[j], bar_modulated * y, history.post[t])
            add(room.of_rule, bar_modulated * y, p.projection[j])


@inlined(fast_sums=True)
def _unforget(zero, one, bar_efficacy, before, rate, square, bar_rate, bar_decay):
    """Go back through Oja's decay: from the derivative by E after it to that by E before; return that by `square`."""
    for i in range(len(rate)):
        decay = rate[i] * square
        bar_decay[i] = -bar_efficacy[i] * before[i] if zero <= decay <= one else zero
    _forget(zero, one, bar_efficacy, rate, square)
    for i in range(len(rate)):
        bar_rate[i] += bar_decay[i] * square
    return dot(bar_decay, rate)


@inlined(fast_sums=True)
def _unweigh(limit, bar_drive, x, raw, bar_gain, gain, bar_efficacy):
    """Go back from the drive to gain and E; nothing passes where E was clipped."""
    for i in range(len(raw)):
        bar_gain[i] += bar_drive * x[i] * min(max(raw[i], -limit), limit)
    for i in range(len(raw)):
        bar = bar_efficacy[i] + bar_drive * x[i] * gain[i]
        bar_efficacy[i] = bar if abs(raw[i]) <= limit else limit - limit


@inlined(fast_sums=True)
def _unpush(push, bar_efficacy, x, rate, bar_rate):
    """Go back from the change of E to the rate; return the derivative by `push`."""
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
