"""Plasticity by a formula: the rows and columns of the synapses whose neurons fire, without a list of events.

In a row all but the weight, and scalars of the post neuron, is the same for every post neuron that has not fired: so
the formula is one polynomial of the weight for the whole row, in vector instructions, and only the few others are
summed up one by one. In a column the traces of the pre neurons are factors beside it.

Axes: L lifetimes with formulas of their own, G groups, K terms, Q products of traces, M products of scalars, S scalars,
V time constants, T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.closed_form import count_events
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.scalars import tell
from snn_plasticity_gym.kernels.simulation import trace
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int64


class FormulaRule(NamedTuple):
    """A formula as tables; the first product of traces, and of scalars, is that of none."""

    coefficients: Float64  # c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: of all lifetimes
    needs_pre: Bool  # (K,) whether the term is there only where the pre neuron fires
    needs_post: Bool  # (K,)
    power: Int64  # (K,) how often the weight is a factor
    of_pre: Int64  # (K,) which product of pre traces is a factor
    of_post: Int64  # (K,)
    of_scalars: Int64  # (K,)
    pre_products: Int64  # (Q, V) how often the trace of each time constant is a factor of each product
    post_products: Int64  # (Q', V)
    scalar_products: Int64  # (M, S) how often each scalar is
    scalars: Int64  # (S,) which ones
    decays: Float64  # (V, T + 1) what a spike of each age adds to each trace
    squashed: bool  # delta_d is tanh of the sum


class FormulaRoom(NamedTuple):
    """Room for one lifetime."""

    pre: Float32  # (Q, N)
    post: Float32  # (Q', N)
    traces: Float64  # (V,)
    told: Float32  # (S, N)
    scalars: Float32  # (M, N)
    polynomials: Float32  # (max(Q, M), powers)
    weights: Float32  # (N,) those of a column
    kept: Float32  # (N,) answers to the exceptions of a row
    part: Float32  # (N,)
    steps: Float32  # (N,)


@compiled()
def room_for_formula(rule, num_neurons):
    """Return room for `FormulaRoom`."""
    num_products = max(len(rule.pre_products), len(rule.scalar_products))
    return FormulaRoom(
        np.empty((len(rule.pre_products), num_neurons), np.float32),
        np.empty((len(rule.post_products), num_neurons), np.float32),
        np.empty(rule.pre_products.shape[1]),
        np.empty((len(rule.scalars), num_neurons), np.float32),
        np.ones((len(rule.scalar_products), num_neurons), np.float32),
        np.empty((num_products, max(rule.power.max() + 1, 1) if len(rule.power) > 0 else 1), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )


@compiled(bare=True)
def learn_formula(b, t, populations, connections, neurons, weights, rule, around, learning, spikes, room, shown):
    """Answer the events of step `t` of lifetime `b`."""
    lifetime = b if len(rule.coefficients) > 1 else 0
    holds = len(learning.held) > 0
    for c in range(len(connections.source)):
        source, target = connections.source[c], connections.target[c]
        num_pre, num_post = spikes.num_now[source], spikes.num_now[target]
        if not connections.plastic[c] or (num_pre == 0 and num_post == 0):
            continue
        n_pre, n_post = populations.size[source], populations.size[target]
        pre, post = populations.start[source], populations.start[target]
        loops = not connections.autapses[c]
        events = count_events(loops, pre, n_pre, post, n_post, source, target, spikes)
        shown.num_events[b] += events
        changes = shown.changes[b, :, connections.head[c]]
        if not holds:
            changes[0] += events
        first = connections.offset[c] + b * n_pre * n_post
        matrix = weights[first : first + n_pre * n_post].reshape(n_pre, n_post)
        store = matrix  # without eligibility, of no use
        if holds:
            store = learning.held[first : first + n_pre * n_post].reshape(n_pre, n_post)
        limits = (connections.scale[c] * learning.pace[b], connections.low[c], connections.high[c])
        hold = (holds, learning.keep[t])
        _scalars_of(
            b, c, post, n_post, populations.distance[target], populations.v_th[target], neurons, around, rule, room
        )
        _products_of_all(target, post, t, learning.window, spikes, rule, rule.post_products, room.traces, room.post)
        own = rule.coefficients[lifetime, connections.head[c]]
        where = (t, learning.window, source, target, pre, post, loops)
        _answer_rows(where, spikes, own, rule, room, matrix, store, hold, limits, changes)
        if num_post > 0:
            _products_everywhere(source, pre, n_pre, t, learning.window, spikes, rule, room)
            _answer_columns(where, spikes, own, rule, room, matrix, store, hold, limits, changes)


@compiled(bare=True)
def _scalars_of(b, c, post, n_post, distance, threshold, neurons, around, rule, room):
    """Fill in the scalars of all target neurons, and their products."""
    for s in range(len(rule.scalars)):
        tell(b, c, post, n_post, distance, threshold, neurons, around, rule.scalars[s], room.told[s])
    for m in range(1, len(rule.scalar_products)):
        product = room.scalars[m]
        for j in range(n_post):
            product[j] = 1.0
        for s in range(len(rule.scalars)):
            for _ in range(rule.scalar_products[m, s]):
                told = room.told[s]
                for j in range(n_post):
                    product[j] *= told[j]


@compiled(bare=True)
def _products(n, t, window, spikes, rule, products, traces, k, filled):
    """Fill in the products of traces of neuron `n`, `k` of its population: `filled[:, k]`."""
    for v in range(len(traces)):
        traces[v] = trace(spikes, n, t, window, rule.decays[v], False)
    for q in range(len(products)):
        product = 1.0
        for v in range(len(traces)):
            for _ in range(products[q, v]):
                product *= traces[v]
        filled[q, k] = product


@compiled(bare=True)
def _products_of_all(p, start, t, window, spikes, rule, products, traces, filled):
    """Fill in the products of the neurons of population `p` that have fired in this image."""
    for place in range(start, start + spikes.num_ever[p]):
        k = spikes.ever[place]
        _products(start + k, t, window, spikes, rule, products, traces, k, filled)


@compiled(bare=True)
def _products_everywhere(p, start, size, t, window, spikes, rule, room):
    """Fill in the products of all neurons of population `p`: only that of no trace is not 0 where there is no spike."""
    for q in range(len(rule.pre_products)):
        row = room.pre[q]
        for k in range(size):
            row[k] = 1.0 if q == 0 else 0.0
    _products_of_all(p, start, t, window, spikes, rule, rule.pre_products, room.traces, room.pre)


@compiled(bare=True)
def _answer_rows(where, spikes, own, rule, room, matrix, store, hold, limits, changes):
    """Answer the events of pre spikes."""
    t, window, source, target, pre, post, loops = where
    n_post, steps = matrix.shape[1], room.steps
    for place in range(pre, pre + spikes.num_now[source]):
        i = spikes.now[place]
        _products(pre + i, t, window, spikes, rule, rule.pre_products, room.traces, i, room.pre)
        row = matrix[i]
        for at in range(post, post + spikes.num_ever[target]):
            j = spikes.ever[at]
            room.kept[at] = _sum(i, j, row[j], True, spikes.fires[post + j], own, rule, room)
        _sum_row(i, row, own, rule, room, n_post)
        for at in range(post, post + spikes.num_ever[target]):
            steps[spikes.ever[at]] = room.kept[at]
        _as_steps(steps, n_post, rule.squashed, limits[0])
        if loops:
            steps[i] = 0.0
        if hold[0]:
            held = store[i]
            for j in range(n_post):
                held[j] += hold[1] * steps[j]
        else:
            _move_all(row, steps, n_post, limits[1], limits[2], changes)


@compiled(bare=True)
def _sum(i, j, weight, pre_fires, post_fires, own, rule, room):
    """Return the sum of one event."""
    total = own[len(rule.power)]
    for k in range(len(rule.power)):
        if (rule.needs_pre[k] and not pre_fires) or (rule.needs_post[k] and not post_fires):
            continue
        value = own[k] * room.pre[rule.of_pre[k], i] * room.post[rule.of_post[k], j]
        if value != 0.0:
            value *= room.scalars[rule.of_scalars[k], j]
            for _ in range(rule.power[k]):
                value *= weight
            total += value
    return total


@compiled(bare=True)
def _sum_row(i, row, own, rule, room, n_post):
    """Fill `room.steps` with the sums of a pre spike's events whose post neurons have not fired in this image."""
    polynomials, steps, part = room.polynomials, room.steps, room.part
    num_powers = polynomials.shape[1]
    for m in range(len(rule.scalar_products)):
        for power in range(num_powers):
            polynomials[m, power] = 0.0
    polynomials[0, 0] = own[len(rule.power)]
    for k in range(len(rule.power)):
        if not rule.needs_post[k] and rule.of_post[k] == 0:
            polynomials[rule.of_scalars[k], rule.power[k]] += own[k] * room.pre[rule.of_pre[k], i]
    _polynomial(polynomials[0], row, steps, n_post)
    for m in range(1, len(rule.scalar_products)):
        if _vanishes(polynomials[m]):
            continue
        _polynomial(polynomials[m], row, part, n_post)
        scalars = room.scalars[m]
        for j in range(n_post):
            steps[j] += scalars[j] * part[j]


@compiled(bare=True)
def _vanishes(polynomial):
    used = False
    for power in range(len(polynomial)):
        used |= polynomial[power] != 0.0
    return not used


@compiled(fast_sums=True, bare=True)
def _polynomial(polynomial, weights, values, count):
    """Fill in a polynomial of each weight, highest power first."""
    highest = polynomial[len(polynomial) - 1]
    for j in range(count):
        values[j] = highest
    for power in range(len(polynomial) - 2, -1, -1):
        coefficient = polynomial[power]
        for j in range(count):
            values[j] = values[j] * weights[j] + coefficient


@compiled(bare=True)
def _as_steps(values, count, squashed, scale):
    """Turn sums into weight changes that are asked for."""
    if squashed:
        squash(values, count)
    one = np.float32(1.0)
    for j in range(count):
        value = values[j]
        value = one if value > one else value
        value = -one if value < -one else value
        values[j] = scale * value


@compiled(fast_sums=True, bare=True)
def _move_all(weights, steps, count, low, high, changes):
    """Move weights by `steps` within their limits, and count the changes."""
    total, squares, rises = 0.0, 0.0, 0
    for j in range(count):
        before = weights[j]
        after = before + steps[j]
        after = low if after < low else after
        after = high if after > high else after
        weights[j] = after
        change = np.float64(after - before)
        total += change
        squares += change * change
        rises += change > 0
    changes[1] += total
    changes[2] += squares
    changes[3] += rises


@compiled(bare=True)
def _answer_columns(where, spikes, own, rule, room, matrix, store, hold, limits, changes):
    """Answer the events of post spikes whose pre neurons do not fire."""
    source, target, pre, post, loops = where[2:]
    n_pre, steps, column = len(matrix), room.steps, room.weights
    for place in range(post, post + spikes.num_now[target]):
        j = spikes.now[place]
        for i in range(n_pre):
            column[i] = matrix[i, j]
        _sum_column(j, column, own, rule, room, n_pre)
        _as_steps(steps, n_pre, rule.squashed, limits[0])
        for at in range(pre, pre + spikes.num_now[source]):
            steps[spikes.now[at]] = 0.0
        if loops:
            steps[j] = 0.0
        if hold[0]:
            for i in range(n_pre):
                store[i, j] += hold[1] * steps[i]
            continue
        _move_all(column, steps, n_pre, limits[1], limits[2], changes)
        for i in range(n_pre):
            matrix[i, j] = column[i]


@compiled(bare=True)
def _sum_column(j, column, own, rule, room, n_pre):
    """Fill `room.steps` with the sums of a post spike's events."""
    polynomials, steps, part = room.polynomials, room.steps, room.part
    num_powers = polynomials.shape[1]
    for q in range(len(rule.pre_products)):
        for power in range(num_powers):
            polynomials[q, power] = 0.0
    polynomials[0, 0] = own[len(rule.power)]
    for k in range(len(rule.power)):
        if not rule.needs_pre[k]:
            value = own[k] * room.post[rule.of_post[k], j] * room.scalars[rule.of_scalars[k], j]
            polynomials[rule.of_pre[k], rule.power[k]] += value
    _polynomial(polynomials[0], column, steps, n_pre)
    for q in range(1, len(rule.pre_products)):
        if _vanishes(polynomials[q]):
            continue
        _polynomial(polynomials[q], column, part, n_pre)
        traces = room.pre[q]
        for i in range(n_pre):
            steps[i] += traces[i] * part[i]
