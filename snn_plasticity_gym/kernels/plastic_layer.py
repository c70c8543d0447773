"""A plastic layer of SRM-alpha neurons through whole sequences: `networks.differentiable.step` compiled.

Equations are in `step`, `rules.differentiable.DifferentiableHebb`, `rules.backpropamine.Backpropamine` and
`networks.srm_alpha`; gradients are in `plastic_gradient.py`.

Loops over synapses are short and use few arrays each, so that they are compiled to vector instructions.

Axes: T steps, B trials, I presynaptic and O postsynaptic neurons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.plastic_parts import copy, dot, follow

Real = NDArray[np.float32] | NDArray[np.float64]

PLAIN, OJA, BCM, HEBB, TRACE = range(5)  # forms; the last two are backpropamine, simple and retroactive
UNMODULATED, PROJECTED, FANNED = range(3)  # source of m


class Parameters(NamedTuple):
    """Parameters with gradients, all of one type; of size 1 where unused."""

    weights: Real  # (O, I), as all of these with a row for each neuron that they act on
    recurrent: Real  # (O, O)
    gain: Real  # (O, I)
    rate: Real  # (O, I)
    projection: Real  # (O, O), or (1, O) of the one signal that is fanned out
    bias: Real  # (O,)
    fan: Real  # (O,)


class Constants(NamedTuple):
    """Values without gradients; the real ones are of the parameters' type, in which loops then compute."""

    form: int  # PLAIN, OJA, BCM, HEBB or TRACE
    modulation: int  # UNMODULATED: m is 1; PROJECTED: bias + projection y; FANNED: bias + fan tanh(projection y)
    recurs: bool  # whether `recurrent` is used
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
    carry: float  # largest derivative by a trace passed to the previous step
    zero: float
    one: float
    e: float  # Euler's number


class History(NamedTuple):
    """History of a trial for its backward pass."""

    pre: Real  # (T, I) traces in step t
    post: Real  # (T, O)
    unlimited: Real  # (T + 1, O, I) E after t steps, before it is clipped
    eligibility: Real  # (T, O, I) in step t; without TRACE (0, O, I)
    modulation: Real  # (T, O) m in step t
    threshold: Real  # (T, O) phi in step t
    potential: Real  # (T, O) u in step t, mV


class State(NamedTuple):
    """State of a trial between two steps, or the derivatives by it in the backward pass."""

    efficacy: Real  # (O, I) E
    eligibility: Real  # (O, I) to which later modulators are applied
    pre: Real  # (2, I) level and rise of the traces, as in `AlphaTrace`
    post: Real  # (2, O)
    refractory: Real  # (2, O)
    threshold: Real  # (O,) phi


class Room(NamedTuple):
    """Workspace for the values of one step."""

    now: Real  # (I,) of one neuron's synapses
    before: Real  # (I,)
    modulation: Real  # (O,)
    drive: Real  # (O,)
    of_rule: Real  # (O,) derivative by the postsynaptic traces through the rule


@compiled(fast_sums=True)
def run_trials(first, last, inputs, p, c, start, spikes, end):
    """Compute the spikes (T, B, O) of trials `first` to `last` - 1, driven by input spikes (T, B, I).

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes.
        p: Parameters.
        c: Constants.
        start: Initial states, with an axis of trials before those of `State`; without trials: all start at rest.
        spikes: Output.
        end: Output: final states, if it has trials; arrays as those of `start`.
    """
    num_post, num_pre = p.weights.shape
    none = fresh_history(0, num_pre, num_post, c.form, inputs)
    state, room = fresh_state(num_pre, num_post, inputs), fresh_room(num_pre, num_post, inputs)
    for b in range(first, last):
        run_trial(b, inputs, p, c, start, state, room, spikes, b, none, False)
        if len(end.threshold):
            _leave(c, b, state, end)


@compiled()
def fresh_history(num_steps, num_pre, num_post, form, like):
    """Allocate the history of a trial."""
    num_traced = num_steps if form == TRACE else 0
    return History(
        np.zeros((num_steps, num_pre), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps + 1, num_post, num_pre), like.dtype),
        np.zeros((num_traced, num_post, num_pre), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
        np.zeros((num_steps, num_post), like.dtype),
    )


@compiled()
def fresh_state(num_pre, num_post, like):
    """Return a layer at rest."""
    return State(
        np.zeros((num_post, num_pre), like.dtype),
        np.zeros((num_post, num_pre), like.dtype),
        np.zeros((2, num_pre), like.dtype),
        np.zeros((2, num_post), like.dtype),
        np.zeros((2, num_post), like.dtype),
        np.zeros(num_post, like.dtype),
    )


@compiled()
def fresh_room(num_pre, num_post, like):
    """Allocate the workspace of a step."""
    return Room(
        np.zeros(num_pre, like.dtype),
        np.zeros(num_pre, like.dtype),
        np.ones(num_post, like.dtype),
        np.zeros(num_post, like.dtype),
        np.zeros(num_post, like.dtype),
    )


@inlined()
def clear(state):
    """Set everything to 0."""
    state.efficacy[:] = 0
    state.eligibility[:] = 0
    state.pre[:] = 0
    state.post[:] = 0
    state.refractory[:] = 0
    state.threshold[:] = 0


@inlined()
def _begin(c, b, start, state):
    """Set a layer to the initial state of trial `b`."""
    if len(start.threshold):
        for j in range(len(state.threshold)):
            if c.form != PLAIN:
                copy(start.efficacy[b, j], state.efficacy[j])
            if c.form == TRACE:
                copy(start.eligibility[b, j], state.eligibility[j])
        for part in range(2):
            copy(start.pre[b, part], state.pre[part])
            copy(start.post[b, part], state.post[part])
            copy(start.refractory[b, part], state.refractory[part])
        copy(start.threshold[b], state.threshold)
    else:
        clear(state)


@inlined()
def _leave(c, b, state, end):
    """Store the final state of trial `b`."""
    for j in range(len(state.threshold)):
        if c.form != PLAIN:
            copy(state.efficacy[j], end.efficacy[b, j])
        if c.form == TRACE:
            copy(state.eligibility[j], end.eligibility[b, j])
    for part in range(2):
        copy(state.pre[part], end.pre[b, part])
        copy(state.post[part], end.post[b, part])
        copy(state.refractory[part], end.refractory[b, part])
    copy(state.threshold, end.threshold[b])


@inlined(fast_sums=True)
def run_trial(b, inputs, p, c, start, state, room, spikes, place, history, keeps):
    """Run trial `b` from its start; its spikes go to `spikes[:, place]`."""
    _begin(c, b, start, state)
    if keeps:
        for j in range(len(p.weights)):
            copy(state.efficacy[j], history.unlimited[0, j])
    num_post = len(p.weights)
    for t in range(inputs.shape[0]):
        x, y = state.pre[0], state.post[0]
        if keeps:
            copy(x, history.pre[t])
            copy(y, history.post[t])
        signal = signal_of(c, p, y)
        for j in range(num_post):
            drive = dot(p.weights[j], x)
            if c.recurs:
                drive += dot(p.recurrent[j], y)
            if c.form != PLAIN:
                m = _modulate(c, p, j, y, signal)
                state.threshold[j] = c.keep * state.threshold[j] + (c.one - c.keep) * y[j] * y[j]
                push, square = push_of(c.form, m, y[j], state.threshold[j])
                raw = history.unlimited[t + 1, j] if keeps else room.now
                if c.form == TRACE:
                    if keeps:
                        copy(state.eligibility[j], history.eligibility[t, j])
                    _release(state.efficacy[j], state.eligibility[j], m, raw)
                    forget(c.zero, c.one, state.eligibility[j], p.rate[j], c.one)
                    _grow(state.eligibility[j], p.rate[j], x, y[j], state.eligibility[j])
                else:
                    if c.form == OJA:
                        forget(c.zero, c.one, state.efficacy[j], p.rate[j], square)
                    _grow(state.efficacy[j], p.rate[j], x, push, raw)
                drive += _weigh(c.limit, raw, state.efficacy[j], p.gain[j], x)
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
def signal_of(c, p, y):
    """Return the signal fanned out to all neurons, or 0 if there is none."""
    return np.tanh(dot(p.projection[0], y)) if c.modulation == FANNED else c.zero


@inlined(fast_sums=True)
def _modulate(c, p, j, y, signal):
    """Return m of neuron j."""
    if c.modulation == PROJECTED:
        return p.bias[j] + dot(p.projection[j], y)
    return p.bias[j] + p.fan[j] * signal if c.modulation == FANNED else c.one


@inlined(fast_sums=True)
def push_of(form, m, y, phi):
    """Return the rule's factor of a presynaptic trace, and Oja's decay, both divided by the rate."""
    return (m * y * (y - phi) if form == BCM else m * y), m * y * y


@inlined(fast_sums=True)
def forget(zero, one, values, rate, square):
    """Let E, or eligibility, decay in the synapses of one neuron."""
    for i in range(len(rate)):
        values[i] *= one - min(max(rate[i] * square, zero), one)


@inlined(fast_sums=True)
def _grow(values, rate, x, push, raw):
    """Compute E of the synapses of one neuron, before limits."""
    for i in range(len(rate)):
        raw[i] = values[i] + rate[i] * x[i] * push


@inlined(fast_sums=True)
def _release(efficacy, eligibility, m, raw):
    """Compute E of one neuron's synapses from the modulator and their eligibility, before limits."""
    for i in range(len(raw)):
        raw[i] = efficacy[i] + m * eligibility[i]


@inlined(fast_sums=True)
def _weigh(limit, raw, efficacy, gain, x):
    """Clip E of the synapses of one neuron to the limit, and return their drive."""
    drive = limit - limit
    for i in range(len(raw)):
        held = min(max(raw[i], -limit), limit)
        efficacy[i] = held
        drive += held * gain[i] * x[i]
    return drive
