"""Gradients of a layer whose weights are changed by a formula of events (`formula_layer.py`), derived analytically.

The backward pass runs each trial again and stores the history of that trial only, so memory does not grow with the
batch. `bar_x` is the derivative of the loss by x.

A synapse has four kinds of steps, as pre and post neuron fire or not, and its weight's change is a function of the
kind. The derivative by a spike is the change of it with the spike, less without. Axes: as in `formula_layer.py`.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.formula_layer import (
    add_polynomial,
    clear,
    fresh_room,
    fresh_state,
    gather,
    multiply_traces,
    room_for_history,
    run_trial,
    squash_all,
    sum_up,
    times_each,
)
from snn_plasticity_gym.kernels.plastic_parts import add, clip, dot, unfollow


@compiled(fast_sums=True)
def differentiate_trials(
    first, last, inputs, weights, coefficients, terms, decays, c, bar_spikes, needs_inputs, bar_inputs, bar_weights,
    bar_coefficients,
):  # fmt: skip
    """Add the gradients of trials `first` to `last` - 1, and compute those of their inputs if required.

    Args:
        first: First trial.
        last: Last trial, exclusive.
        inputs: Spikes (T, B, I).
        weights: As in `run_trials`.
        coefficients: As in `run_trials`.
        terms: Factors of the terms.
        decays: Of the formula's traces.
        c: Constants.
        bar_spikes: Derivatives by the spikes (T, B, O).
        needs_inputs: Whether `bar_inputs` is required.
        bar_inputs: Derivatives by the inputs (T, B, I); of size 1 if not required.
        bar_weights: Derivatives by the weights, (O, I).
        bar_coefficients: Derivatives by the coefficients, (K,).
    """
    history = room_for_history(inputs.shape[0], weights, decays)
    spikes = np.empty((inputs.shape[0], 1, len(weights)), inputs.dtype)
    state, room = fresh_state(weights, decays), fresh_room(weights, terms)
    for b in range(first, last):
        run_trial(b, inputs, weights, coefficients, terms, decays, c, state, room, spikes, 0, history, True)
        clear(state)
        for t in range(inputs.shape[0] - 1, -1, -1):
            _unstep(
                t, b, inputs, coefficients, terms, decays, c, history, spikes[t, 0], state, room, bar_spikes[t, b],
                needs_inputs, bar_inputs, bar_coefficients,
            )  # fmt: skip
        for j in range(len(weights)):
            add(bar_weights[j], c.one, state.weights[j])


@inlined(fast_sums=True)
def _unstep(
    t, b, inputs, coefficients, terms, decays, c, history, spikes, back, room, bar_spikes, needs_inputs, bar_inputs,
    bar_coefficients,
):  # fmt: skip
    """Backpropagate through step t, with `back` the derivatives by the state after it, then before it."""
    shown = inputs[t, b]
    room.by_products[:] = c.zero
    unfade_all(c, decays, back, room.by_post, room.by_spikes)
    multiply_traces(terms, c, history.traces_pre[t], shown, room)
    for j in range(len(spikes)):
        _unlearn(
            t, j, coefficients, terms, c, history, shown, spikes[j] > c.zero, back, room, needs_inputs, bar_coefficients
        )
    if needs_inputs:
        _untrace(terms, shown, history.traces_pre[t], room, back.traces_pre)
        unhear_all(c, back, room.by_spikes, bar_inputs[t, b])
    unfire(t, c, history, back, bar_spikes, room.by_post, needs_inputs, room.before)


@inlined(fast_sums=True)
def unfade_all(c, decays, back, by_post, by_spikes):
    """Backpropagate through the traces of the rule, and start the sums of derivatives by spikes through it."""
    by_post[:] = c.zero
    by_spikes[:] = c.zero
    for u in range(len(decays)):
        _unfade(decays[u], back.traces_post[u], by_post)
        _unfade(decays[u], back.traces_pre[u], by_spikes)


@inlined(fast_sums=True)
def unhear_all(c, back, by_spikes, bar_inputs):
    """Compute the derivatives by input spikes: through the responses, and through the rule, `by_spikes`."""
    unfollow(back.response, c.decay, c.rise)
    for i in range(len(bar_inputs)):
        bar_inputs[i] = back.response[1, i] + by_spikes[i]
    clip(c.carry, back.response[0], back.response[0])


@inlined(fast_sums=True)
def unfire(t, c, history, back, bar_spikes, by_post, needs_inputs, before):
    """Backpropagate through the spikes of step t to weights and responses; `by_post`: derivatives through the rule."""
    unfollow(back.refractory, c.decay_ref, c.rise_ref)
    for j in range(len(by_post)):
        u = history.potential[t, j]
        bar_spike = bar_spikes[j] + c.rule_share * by_post[j] + c.refractory_share * back.refractory[1, j]
        bar_drive = c.e * bar_spike * np.exp(-abs(u / c.v_th - c.one) / c.width) / c.v_th
        back.refractory[0, j] -= c.depth * bar_drive
        add(back.weights[j], c.charge * bar_drive, history.response[t])
        if needs_inputs:
            limit(c, history.unlimited[t, j], before)
            add(back.response[0], c.charge * bar_drive, before)


@inlined(fast_sums=True)
def _unfade(decay, bar_trace, bar_spikes):
    """Backpropagate through `_fade`."""
    for i in range(len(bar_spikes)):
        bar_trace[i] *= decay
        bar_spikes[i] += bar_trace[i]


@inlined(fast_sums=True)
def limit(c, raw, weights):
    """Compute weights, clipped to their limits."""
    for i in range(len(raw)):
        weights[i] = min(max(raw[i], c.low), c.high)


@inlined(fast_sums=True)
def _unlearn(t, j, coefficients, terms, c, history, shown, fires, back, room, needs_inputs, bar_coefficients):
    """Backpropagate through the change of the weights to post neuron j in step t."""
    limit(c, history.unlimited[t, j], room.before)
    unlimit(c, history.unlimited[t + 1, j], back.weights[j], room.change)
    gather(coefficients, terms, c, history.traces_post[t], j, room)
    silent, firing = room.factors[0], room.factors[1]
    # `sums` is the output, `others` the output for the opposite spike of the neuron.
    sum_up(firing if fires else silent, room.shown, room.before, room.sums)
    squash_all(c, room.sums)
    sum_up(silent if fires else firing, room.shown, room.before, room.others)
    squash_all(c, room.others)
    room.by_post[j] += by_spike(fires, room.change, shown, room.sums, room.others)
    for i in range(len(shown)):
        room.inner[i] = room.change[i] * (c.one - room.sums[i] * room.sums[i])
    if not fires:
        times_each(room.inner, shown)
    if needs_inputs:
        _unhear(terms, c, fires, room)
    own = firing if fires else silent
    for g in range(len(own)):
        if needs_inputs:
            add_polynomial(own[g], room.inner, room.before, room.by_products[g])
        _unweigh(own[g], room.shown[g], room.before, room.inner, back.weights[j], room.moments[g])
    for k in range(len(coefficients)):
        if fires or not terms.needs_post[k]:
            by_factor = room.moments[terms.part[k], terms.power[k]]
            bar_coefficients[k] += by_factor * room.of_post[k]
            _unmultiply(terms, k, history.traces_post[t], j, coefficients[k] * by_factor, back.traces_post)


@inlined(fast_sums=True)
def unlimit(c, raw, bar_weights, change):
    """Backpropagate from weights to their values without limits, and to the output of the formula."""
    for i in range(len(raw)):
        bar_weights[i] *= c.one if c.low <= raw[i] and raw[i] <= c.high else c.zero
    for i in range(len(raw)):
        change[i] = c.scale * bar_weights[i]


@inlined(fast_sums=True)
def by_spike(fires, change, shown, outputs, others):
    """Return the derivative by a post spike: what changes with it, less what without it, where an input makes an event.

    Args:
        fires: Whether there is one.
        change: Derivative by the output of the rule, (I,).
        shown: Input spikes, (I,).
        outputs: Output of the rule, (I,).
        others: Its output for the opposite spike of the post neuron, (I,).
    """
    if fires:
        return dot(change, outputs) - dot3(change, shown, others)
    return dot(change, others) - dot3(change, shown, outputs)


@inlined(fast_sums=True)
def dot3(a, b, d):
    """Return the sum of the products of three vectors."""
    total = a[0] * b[0] * d[0]
    for i in range(1, len(a)):
        total += a[i] * b[i] * d[i]
    return total


@inlined(fast_sums=True)
def _unweigh(factors, products, weights, inner, bar_weights, moments):
    """Backpropagate from a polynomial to the weights; compute the derivatives by its factors."""
    moments[0] = dot(inner, products)
    if len(factors) == 1:
        return
    moments[1] = dot3(inner, products, weights)
    if factors[1] != 0:
        for i in range(len(weights)):
            bar_weights[i] += factors[1] * inner[i] * products[i]
    for power in range(2, len(factors)):
        total = moments[0] - moments[0]
        for i in range(len(weights)):
            below = inner[i] * products[i] * weights[i] ** (power - 1)
            bar_weights[i] += factors[power] * power * below
            total += below * weights[i]
        moments[power] = total


@inlined(fast_sums=True)
def _unmultiply(terms, k, traces, j, by_product, bar_traces):
    """Backpropagate from the product of a term's traces of post neuron j to those traces."""
    for u in range(len(traces)):
        times = terms.of_post[k, u]
        if times > 0:
            rest = by_product * times
            for v in range(len(traces)):
                for _ in range(terms.of_post[k, v] - (1 if v == u else 0)):
                    rest *= traces[v, j]
            bar_traces[u, j] += rest


@inlined(fast_sums=True)
def _unhear(terms, c, fires, room):
    """Backpropagate from the change to the input spikes: the output with each spike, less without."""
    own = room.factors[1 if fires else 0]
    sum_up(own, room.products, room.before, room.others)
    squash_all(c, room.others)
    for i in range(len(room.others)):
        room.by_spikes[i] += room.change[i] * room.others[i]
    if not fires:
        return  # no event without the input spike
    room.others[:] = c.zero
    for g in range(len(own)):
        if not terms.needs_pre[g]:
            add_polynomial(own[g], room.products[g], room.before, room.others)
    squash_all(c, room.others)
    for i in range(len(room.others)):
        room.by_spikes[i] -= room.change[i] * room.others[i]


@inlined(fast_sums=True)
def _untrace(terms, shown, traces, room, bar_traces):
    """Backpropagate from the products of the pre neurons' traces to those traces."""
    for g in range(len(terms.needs_pre)):
        if terms.needs_pre[g]:
            times_each(room.by_products[g], shown)
        for u in range(len(traces)):
            times = terms.of_pre[g, u]
            if times == 0:
                continue
            for i in range(traces.shape[1]):
                rest = room.by_products[g, i] * times
                for v in range(len(traces)):
                    for _ in range(terms.of_pre[g, v] - (1 if v == u else 0)):
                        rest *= traces[v, i]
                bar_traces[u, i] += rest
