"""A layer of SRM-alpha neurons whose weights are changed by a formula of events, through whole sequences.

What `networks.differentiable.step` computes with `rules.differentiable_formula.DifferentiableFormula`, compiled;
gradients are in `formula_gradient.py`.

Loops over synapses are short and use few arrays each, so that they are compiled to vector instructions.

A term is a product of a part of the pre neuron, a part of the post neuron, and a power of the weight. Few parts of
pre neurons are distinct, so for one post neuron a formula is a sum over those, each times a polynomial of the weight.

Axes: T steps, B trials, I presynaptic and O postsynaptic neurons, K terms, G distinct parts of pre neurons, P powers of
the weight, U time constants of traces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.plastic_parts import copy, dot, follow
from snn_plasticity_gym.kernels.squash import squash

Real = NDArray[np.float32] | NDArray[np.float64]
Table = NDArray[Any]


class Terms(NamedTuple):
    """Factors of each term, including the constant, an empty product."""

    part: Table  # (K,) part of the pre neuron
    power: Table  # (K,) exponent of the weight
    needs_post: Table  # (K,) bool, whether it needs a spike of the post neuron
    of_post: Table  # (K, U) exponent of each trace of the post neuron
    needs_pre: Table  # (G,) bool, whether a part needs a spike of the pre neuron
    of_pre: Table  # (G, U) exponent of each trace of the pre neuron in a part


class Constants(NamedTuple):
    """Values without gradients; the real ones are of the parameters' type, in which loops then compute."""

    exact: bool  # tanh by the library, one by one
    charge: float  # of an input spike
    scale: float  # largest change of a weight
    low: float  # limits of the weights
    high: float
    decay: float  # of the responses, per step
    rise: float  # dt / tau of the responses
    decay_ref: float  # of the refractory response
    rise_ref: float
    depth: float  # of the refractory response, scale_ref * v_th in mV
    v_th: float  # mV
    width: float  # of the surrogate exp(-|u / v_th - 1| / width)
    rule_share: float  # of the gradient that reaches postsynaptic spikes through the rule
    refractory_share: float  # of the gradient through the refractory response
    carry: float  # largest derivative by a response passed to the previous step
    zero: float
    one: float
    e: float  # Euler's number


class History(NamedTuple):
    """History of a trial for its backward pass."""

    response: Real  # (T, I) of the inputs, in step t
    unlimited: Real  # (T + 1, O, I) weights after t steps, before clipping to their limits
    potential: Real  # (T, O) u in step t, mV
    traces_pre: Real  # (T, U, I) in the events of step t
    traces_post: Real  # (T, U, O)


class State(NamedTuple):
    """State of a trial between two steps, or the derivatives by it in the backward pass."""

    weights: Real  # (O, I)
    response: Real  # (2, I) level and rise, as in `AlphaTrace`
    refractory: Real  # (2, O)
    traces_pre: Real  # (U, I) of the formula
    traces_post: Real  # (U, O)


class Room(NamedTuple):
    """Workspace for the values of one step."""

    products: Real  # (G, I) of each part's traces of the pre neuron
    shown: Real  # (G, I) the same, 0 where the part needs a spike and the neuron is silent
    of_post: Real  # (K,) product of each term's traces of one post neuron
    factors: Real  # (2, G, P) of the parts times powers of the weight, if that neuron is silent, and if it fires
    moments: Real  # (G, P) derivative by the factors in use
    sums: Real  # (I,) of a formula, then its tanh
    others: Real  # (I,) the same for other spikes
    before: Real  # (I,) weights of one neuron's synapses
    change: Real  # (I,) derivative by the output of the formula
    inner: Real  # (I,) derivative by its sum
    by_products: Real  # (G, I) derivative by the products
    by_spikes: Real  # (I,) derivative by the input spikes through the rule
    by_post: Real  # (O,) derivative by the neuron's spikes through the rule
    drive: Real  # (O,)


@compiled(fast_sums=True)
def run_trials(first, last, inputs, weights, coefficients, terms, decays, c, spikes):
    """Compute the spikes (T, B, O) of trials `first` to `last` - 1.

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes (T, B, I), 0 or 1.
        weights: Initial weights, within their limits, (O, I).
        coefficients: c of each term, (K,).
        terms: Factors of the terms.
        decays: Of the formula's traces, per step, (U,).
        c: Constants.
        spikes: Output.
    """
    none = room_for_history(0, weights, decays)
    state, room = fresh_state(weights, decays), fresh_room(weights, terms)
    for b in range(first, last):
        run_trial(b, inputs, weights, coefficients, terms, decays, c, state, room, spikes, b, none, False)


@compiled()
def room_for_history(num_steps, weights, decays):
    """Allocate the history of a trial of so many steps."""
    num_post, num_pre = weights.shape
    return History(
        np.zeros((num_steps, num_pre), weights.dtype),
        np.zeros((num_steps + 1, num_post, num_pre), weights.dtype),
        np.zeros((num_steps, num_post), weights.dtype),
        np.zeros((num_steps, len(decays), num_pre), weights.dtype),
        np.zeros((num_steps, len(decays), num_post), weights.dtype),
    )


@compiled()
def fresh_state(weights, decays):
    """Return the state of a layer at rest, except its weights."""
    num_post, num_pre = weights.shape
    return State(
        np.zeros((num_post, num_pre), weights.dtype),
        np.zeros((2, num_pre), weights.dtype),
        np.zeros((2, num_post), weights.dtype),
        np.zeros((len(decays), num_pre), weights.dtype),
        np.zeros((len(decays), num_post), weights.dtype),
    )


@compiled()
def fresh_room(weights, terms):
    """Allocate the workspace of a step."""
    num_post, num_pre = weights.shape
    num_parts, num_powers = len(terms.needs_pre), terms.power.max() + 1
    by_synapse = np.zeros((6, num_pre), weights.dtype)
    by_part = np.zeros((3, num_parts, num_pre), weights.dtype)
    by_post = np.zeros((2, num_post), weights.dtype)
    return Room(
        by_part[0], by_part[1], np.zeros(len(terms.power), weights.dtype),
        np.zeros((2, num_parts, num_powers), weights.dtype), np.zeros((num_parts, num_powers), weights.dtype),
        by_synapse[0], by_synapse[1], by_synapse[2], by_synapse[3], by_synapse[4], by_part[2], by_synapse[5],
        by_post[0], by_post[1],
    )  # fmt: skip


@inlined()
def clear(state):
    """Set everything to 0."""
    state.weights[:] = 0
    state.response[:] = 0
    state.refractory[:] = 0
    state.traces_pre[:] = 0
    state.traces_post[:] = 0


@inlined(fast_sums=True)
def run_trial(b, inputs, weights, coefficients, terms, decays, c, state, room, spikes, place, history, keeps):
    """Run trial `b`; its spikes go to `spikes[:, place]`."""
    begin(weights, state, history, keeps)
    for t in range(inputs.shape[0]):
        shown = inputs[t, b]
        fire(t, c, state, spikes[t, place], history, keeps)
        multiply_traces(terms, c, state.traces_pre, shown, room)
        heard = shown.sum() > c.zero
        for j in range(len(weights)):
            fires = spikes[t, place, j] > c.zero
            if fires or heard:
                gather(coefficients, terms, c, state.traces_post, j, room)
                sum_up(room.factors[1 if fires else 0], room.shown, state.weights[j], room.sums)
                squash_all(c, room.sums)
                raw = history.unlimited[t + 1, j] if keeps else room.others
                change(c, fires, shown, room.sums, state.weights[j], raw)
            elif keeps:
                copy(state.weights[j], history.unlimited[t + 1, j])
        settle(c, decays, state, shown, spikes[t, place])


@inlined()
def begin(weights, state, history, keeps):
    """Reset a layer to rest, with its initial weights."""
    clear(state)
    for j in range(len(weights)):
        copy(weights[j], state.weights[j])
        if keeps:
            copy(weights[j], history.unlimited[0, j])


@inlined(fast_sums=True)
def fire(t, c, state, spikes, history, keeps):
    """Compute the spikes of step t, and store the state before it."""
    if keeps:
        copy(state.response[0], history.response[t])
        for u in range(len(state.traces_pre)):
            copy(state.traces_pre[u], history.traces_pre[t, u])
            copy(state.traces_post[u], history.traces_post[t, u])
    for j in range(len(spikes)):
        drive = c.charge * dot(state.weights[j], state.response[0])
        u = c.e * (drive - c.depth * state.refractory[0, j])
        spikes[j] = c.one if u > c.v_th else c.zero
        if keeps:
            history.potential[t, j] = u


@inlined(fast_sums=True)
def settle(c, decays, state, shown, spikes):
    """Update responses and traces by the spikes of a step."""
    follow(state.refractory, spikes, c.decay_ref, c.rise_ref)
    follow(state.response, shown, c.decay, c.rise)
    for u in range(len(decays)):
        _fade(decays[u], state.traces_pre[u], shown)
        _fade(decays[u], state.traces_post[u], spikes)


@inlined(fast_sums=True)
def _fade(decay, trace, spikes):
    """Add the spikes of a step, and let the trace decay: events use the rest of earlier spikes."""
    for i in range(len(spikes)):
        trace[i] = decay * (trace[i] + spikes[i])


@inlined(fast_sums=True)
def multiply_traces(terms, c, traces, spikes, room):
    """Compute the products of the pre neurons' traces, and the active ones."""
    for g in range(len(terms.needs_pre)):
        room.products[g, :] = c.one
        for u in range(len(traces)):
            for _ in range(terms.of_pre[g, u]):
                times_each(room.products[g], traces[u])
        copy(room.products[g], room.shown[g])
        if terms.needs_pre[g]:
            times_each(room.shown[g], spikes)


@inlined(fast_sums=True)
def times_each(values, factors):
    """Multiply values by factors, one by one."""
    for i in range(len(values)):
        values[i] *= factors[i]


@inlined(fast_sums=True)
def gather(coefficients, terms, c, traces, j, room):
    """Compute the formula's factors for post neuron j, silent or spiking."""
    room.factors[:] = c.zero
    for k in range(len(coefficients)):
        product = c.one
        for u in range(len(traces)):
            for _ in range(terms.of_post[k, u]):
                product *= traces[u, j]
        room.of_post[k] = product
        room.factors[1, terms.part[k], terms.power[k]] += coefficients[k] * product
        if not terms.needs_post[k]:
            room.factors[0, terms.part[k], terms.power[k]] += coefficients[k] * product


@inlined(fast_sums=True)
def sum_up(factors, shown, weights, sums):
    """Compute the formula's sum for the synapses of one post neuron."""
    sums[:] = factors[0, 0] - factors[0, 0]
    for g in range(len(factors)):
        add_polynomial(factors[g], shown[g], weights, sums)


@inlined(fast_sums=True)
def add_polynomial(factors, products, weights, sums):
    """Add products times a polynomial of the weights."""
    first, slope = factors[0], factors[1] if len(factors) > 1 else factors[0] - factors[0]
    for i in range(len(sums)):
        sums[i] += products[i] * (first + slope * weights[i])
    for power in range(2, len(factors)):
        for i in range(len(sums)):
            sums[i] += factors[power] * products[i] * weights[i] ** power


@inlined(fast_sums=True)
def squash_all(c, values):
    """Replace values by their tanh."""
    if c.exact:
        for i in range(len(values)):
            values[i] = np.tanh(values[i])
    else:
        squash(values, len(values))


@inlined(fast_sums=True)
def change(c, fires, shown, outputs, weights, raw):
    """Change the weights of the synapses that have an event; `raw`: their values without limits."""
    for i in range(len(weights)):
        there = c.one if fires else shown[i]
        raw[i] = weights[i] + there * c.scale * outputs[i]
    for i in range(len(weights)):
        weights[i] = min(max(raw[i], c.low), c.high)
