"""Plasticity by a formula: the rows and columns of the synapses whose neurons fire, without a list of events.

In a row all but the weight, and scalars of the post neuron, is the same for every post neuron without a spike: so the
formula is one polynomial of the weight for the whole row, in vector instructions, and the others, if they are few, are
summed one by one; else values of post neurons are factors of further polynomials. In a column the traces of the pre
neurons are such factors.

Axes: L lifetimes with separate formulas, G groups, K terms, Q products of traces, M products of scalars, F factors
of post neurons, S scalars, V time constants, T steps, N neurons of all populations, concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.episode import advance, begin, learning_of, networks_of, record_of
from snn_plasticity_gym.kernels.scalars import fill_scalar
from snn_plasticity_gym.kernels.simulation import end_image, trace
from snn_plasticity_gym.kernels.synapses import (
    as_steps,
    change_column,
    change_row,
    column_of,
    has_events,
    of_both,
    synapses_of,
)
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int64

FEW = 8  # post neurons that have fired in this image are few up to one in so many


class FormulaRule(NamedTuple):
    """A formula as tables; the first product of traces, and of scalars, is empty."""

    coefficients: Float64  # c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: of all lifetimes
    needs_pre: Bool  # (K,) whether the term is there only where the pre neuron fires
    needs_post: Bool  # (K,)
    power: Int64  # (K,) exponent of the weight
    of_pre: Int64  # (K,) product of pre traces that is a factor
    of_post: Int64  # (K,)
    of_scalars: Int64  # (K,)
    pre_products: Int64  # (Q, V) exponent of each time constant's trace in each product
    post_products: Int64  # (Q', V)
    scalar_products: Int64  # (M, S) exponent of each scalar
    scalars: Int64  # (S,) which ones
    decays: Float64  # (V, T + 1) contribution of a spike of each age to each trace
    squashed: bool  # delta_d is tanh of the sum


class FormulaRoom(NamedTuple):
    """Workspace for one lifetime."""

    pre: Float32  # (Q, N)
    post: Float32  # (Q', N)
    traces: Float64  # (V,)
    scalar_values: Float32  # (S, N)
    scalars: Float32  # (M, N)
    factor: Int64  # (K,) factor of a post neuron in each term
    made_of: Int64  # (F, 3) whether it needs a spike of that neuron, its product of traces, and of scalars
    factors: Float32  # (F, N)
    polynomials: Float32  # (max(Q, M, F), powers)
    weights: Float32  # (N,) of a column
    members: Int64  # (N,) their neurons
    of_members: Float32  # (Q, N) products of their traces
    kept: Float32  # (N,) outputs for the exceptions of a row
    part: Float32  # (N,)
    steps: Float32  # (N,)


def room_for_formula(rule: FormulaRule, num_neurons: int) -> FormulaRoom:
    """Allocate `FormulaRoom`."""
    of_terms = np.column_stack([rule.needs_post, rule.of_post, rule.of_scalars]).astype(np.int64)  # (K, 3)
    made_of, which = np.unique(np.vstack([np.zeros((1, 3), np.int64), of_terms]), axis=0, return_inverse=True)
    num_products = max(len(rule.pre_products), len(rule.scalar_products), len(made_of))
    return FormulaRoom(
        np.empty((len(rule.pre_products), num_neurons), np.float32),
        np.empty((len(rule.post_products), num_neurons), np.float32),
        np.empty(rule.pre_products.shape[1]),
        np.empty((len(rule.scalars), num_neurons), np.float32),
        np.ones((len(rule.scalar_products), num_neurons), np.float32),
        which.reshape(-1)[1:],
        made_of,
        np.ones((len(made_of), num_neurons), np.float32),
        np.empty((num_products, rule.power.max() + 1 if len(rule.power) > 0 else 1), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.int64),
        np.empty((len(rule.pre_products), num_neurons), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )


@compiled(bare=True)
def show_formula(first, last, networks, rule, shared_scalars, learning, spikes, room, record):
    """Present M images to the lifetimes `first` to `last` - 1, with formulas as rules; all in place.

    Args:
        first: First lifetime.
        last: Last lifetime, exclusive.
        networks: Their networks and stimuli; with `learning` and `record` as in `ImageSeries`.
        rule: The formulas.
        shared_scalars: Scalars that are not of single neurons.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        room: Workspace for products and polynomials.
        record: Output; `changes` is added to.
    """
    for b in range(first, last):
        for m in range(len(record.num_events)):
            shown, paced, kept = networks_of(m, networks), learning_of(m, learning), record_of(m, record)
            begin(b, m, shown, spikes, kept)
            for t in range(kept.raster.shape[1]):
                advance(b, t, shown, spikes, kept)
                learn_formula(b, t, shown, rule, shared_scalars, paced, spikes, room, kept)
            end_image(b, shown, spikes, kept)


@inlined()
def learn_formula(b, t, networks, rule, shared_scalars, learning, spikes, room, record):
    """Update weights for the events of step `t` of lifetime `b`."""
    lifetime = b if len(rule.coefficients) > 1 else 0
    for c in range(len(networks.connections.source)):
        if not has_events(c, networks, learning, spikes):
            continue
        synapses = synapses_of(b, t, c, networks, learning, spikes, record)
        _scalars_of(b, synapses, networks, shared_scalars, rule, room)
        own = rule.coefficients[lifetime, synapses.head]
        post = synapses.target, synapses.post, synapses.n_post
        if spikes.num_ever[synapses.target] * FEW <= synapses.n_post:
            _products_of_all(post, synapses, spikes, rule, rule.post_products, room, room.post)
            _update_rows(synapses, spikes, own, rule, room)
        else:
            _all_products(post, synapses, spikes, rule, rule.post_products, room, room.post)
            _update_whole_rows(synapses, spikes, own, rule, room)
        if synapses.num_post > 0:
            pre = synapses.source, synapses.pre, synapses.n_pre
            _all_products(pre, synapses, spikes, rule, rule.pre_products, room, room.pre)
            _update_columns(synapses, spikes, own, rule, room)


@inlined()
def _scalars_of(b, synapses, networks, shared_scalars, rule, room):
    """Compute the scalars of all target neurons, and their products."""
    for s in range(len(rule.scalars)):
        fill_scalar(b, synapses, networks, shared_scalars, rule.scalars[s], room.scalar_values[s])
    for m in range(1, len(rule.scalar_products)):
        product = room.scalars[m]
        for j in range(synapses.n_post):
            product[j] = 1.0
        for s in range(len(rule.scalars)):
            for _ in range(rule.scalar_products[m, s]):
                scalar_values = room.scalar_values[s]
                for j in range(synapses.n_post):
                    product[j] *= scalar_values[j]


@inlined()
def _products(n, synapses, spikes, rule, products, traces, k, filled):
    """Compute the products of traces of neuron `n`, `k` of its population: `filled[:, k]`."""
    for v in range(len(traces)):
        traces[v] = trace(spikes, n, synapses.t, synapses.window, rule.decays[v], False)
    for q in range(len(products)):
        product = 1.0
        for v in range(len(traces)):
            for _ in range(products[q, v]):
                product *= traces[v]
        filled[q, k] = product


@inlined()
def _products_of_all(end, synapses, spikes, rule, products, room, filled):
    """Compute the products of the neurons of a population that have fired in this image."""
    p, start, _ = end
    for place in range(start, start + spikes.num_ever[p]):
        k = spikes.ever[place]
        _products(start + k, synapses, spikes, rule, products, room.traces, k, filled)


@inlined()
def _all_products(end, synapses, spikes, rule, products, room, filled):
    """Compute the products of all neurons of a population: without a spike all but the empty one are 0."""
    for q in range(len(products)):
        row = filled[q]
        for k in range(end[2]):
            row[k] = 1.0 if q == 0 else 0.0
    _products_of_all(end, synapses, spikes, rule, products, room, filled)


@inlined()
def _update_rows(synapses, spikes, own, rule, room):
    """Update weights for pre spikes."""
    pre, post, steps = synapses.pre, synapses.post, room.steps
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        _products(pre + i, synapses, spikes, rule, rule.pre_products, room.traces, i, room.pre)
        row = synapses.matrix[i]
        for at in range(post, post + spikes.num_ever[synapses.target]):
            j = spikes.ever[at]
            room.kept[at] = _sum(i, j, row[j], of_both(post + j, spikes, synapses), own, rule, room)
        _sum_row(i, row, own, rule, room)
        for at in range(post, post + spikes.num_ever[synapses.target]):
            steps[spikes.ever[at]] = room.kept[at]
        as_steps(steps, synapses.n_post, rule.squashed, synapses.scale)
        change_row(i, steps, synapses)


@inlined()
def _sum(i, j, weight, post_fires, own, rule, room):
    """Return the sum of one event of a pre spike."""
    total = own[len(rule.power)]
    for k in range(len(rule.power)):
        if rule.needs_post[k] and not post_fires:
            continue
        value = own[k] * room.pre[rule.of_pre[k], i] * room.post[rule.of_post[k], j]
        if value != 0.0:
            value *= room.scalars[rule.of_scalars[k], j]
            for _ in range(rule.power[k]):
                value *= weight
            total += value
    return total


@inlined()
def _sum_row(i, row, own, rule, room):
    """Compute, in `room.steps`, the sums of a pre spike's events whose post neurons have not fired in this image."""
    polynomials = room.polynomials
    _clear(polynomials, own[len(rule.power)])
    for k in range(len(rule.power)):
        if not rule.needs_post[k] and rule.of_post[k] == 0:
            polynomials[rule.of_scalars[k], rule.power[k]] += own[k] * room.pre[rule.of_pre[k], i]
    _sum_polynomials(len(rule.scalar_products), room.scalars, row, len(row), room)


@inlined()
def _update_whole_rows(synapses, spikes, own, rule, room):
    """Update weights for pre spikes where many post neurons have fired."""
    pre, steps, polynomials, num_factors = synapses.pre, room.steps, room.polynomials, len(room.made_of)
    for f in range(1, num_factors):
        fires, q, m = room.made_of[f]
        _factor(room.factors[f], fires, q, m, synapses, spikes, room)
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        _products(pre + i, synapses, spikes, rule, rule.pre_products, room.traces, i, room.pre)
        _clear(polynomials, own[len(rule.power)])
        for k in range(len(rule.power)):
            polynomials[room.factor[k], rule.power[k]] += own[k] * room.pre[rule.of_pre[k], i]
        _sum_polynomials(num_factors, room.factors, synapses.matrix[i], synapses.n_post, room)
        as_steps(steps, synapses.n_post, rule.squashed, synapses.scale)
        change_row(i, steps, synapses)


@inlined()
def _factor(factor, fires, q, m, synapses, spikes, room):
    """Compute the factors of every post neuron: products of traces and of scalars, and whether it fires."""
    traces, scalars = room.post[q], room.scalars[m]
    for j in range(synapses.n_post):
        factor[j] = traces[j] * scalars[j]
    if fires:
        for j in range(synapses.n_post):
            factor[j] *= np.float32(of_both(synapses.post + j, spikes, synapses))


@inlined()
def _clear(polynomials, constant):
    for number in range(polynomials.shape[0]):
        for power in range(polynomials.shape[1]):
            polynomials[number, power] = 0.0
    polynomials[0, 0] = constant


@inlined()
def _sum_polynomials(number, factors, weights, count, room):
    """Fill `room.steps` with the first polynomial of each weight, plus the others times their factors (number, N)."""
    polynomials, steps, part = room.polynomials, room.steps, room.part
    _polynomial(polynomials[0], weights, steps, count)
    for which in range(1, number):
        if _vanishes(polynomials[which]):
            continue
        _polynomial(polynomials[which], weights, part, count)
        own = factors[which]
        for k in range(count):
            steps[k] += own[k] * part[k]


@inlined()
def _vanishes(polynomial):
    used = False
    for power in range(len(polynomial)):
        used |= polynomial[power] != 0.0
    return not used


@inlined(fast_sums=True)
def _polynomial(polynomial, weights, values, count):
    """Compute a polynomial of each weight, highest power first."""
    highest = polynomial[len(polynomial) - 1]
    for j in range(count):
        values[j] = highest
    for power in range(len(polynomial) - 2, -1, -1):
        coefficient = polynomial[power]
        for j in range(count):
            values[j] = values[j] * weights[j] + coefficient


@inlined()
def _update_columns(synapses, spikes, own, rule, room):
    """Update weights for post spikes whose pre neurons do not fire."""
    for place in range(synapses.post, synapses.post + synapses.num_post):
        j = spikes.now[place]
        count = column_of(j, spikes, synapses, room.weights, room.members, False)
        _sum_column(j, count, own, rule, room)
        as_steps(room.steps, count, rule.squashed, synapses.scale)
        change_column(j, room.weights, room.members, count, room.steps, synapses)


@inlined()
def _sum_column(j, count, own, rule, room):
    """Fill `room.steps` with the sums of a post spike's events."""
    polynomials = room.polynomials
    _clear(polynomials, own[len(rule.power)])
    for k in range(len(rule.power)):
        if not rule.needs_pre[k]:
            value = own[k] * room.post[rule.of_post[k], j] * room.scalars[rule.of_scalars[k], j]
            polynomials[rule.of_pre[k], rule.power[k]] += value
    for q in range(1, len(rule.pre_products)):
        for k in range(count):
            room.of_members[q, k] = room.pre[q, room.members[k]]
    _sum_polynomials(len(rule.pre_products), room.of_members, room.weights, count, room)
