"""Plasticity by heads over a front: the rows and columns of the synapses whose neurons fire, without a list of events.

In a row (pre spike) all post neurons that have not fired lately share a pair of histories, and so in a column (post
spike) do pre neurons. For such a pair a head is lines over the weight (`kernels/kept_lines.py`). The others are pairs
of one event, and go through the layers (`kernels/pairs.py`).

Axes: X scalars beside weight and kind, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.closed_form import count_events, move_row
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.images import send_back, teach
from snn_plasticity_gym.kernels.kept_lines import answer_kept, answer_shared, can_be_kept
from snn_plasticity_gym.kernels.lines import room_for_lines
from snn_plasticity_gym.kernels.pairs import (
    add_scalars,
    answer,
    first_layer,
    leave_near,
    meet_far,
    room_for_pair,
    take_near,
)
from snn_plasticity_gym.kernels.scalars import tell
from snn_plasticity_gym.kernels.simulation import begin_image, end_image, room_for_spikes, simulate
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.kernels.tables import Float32, Int64

PRE, POST, BOTH = range(3)  # kinds, as `plasticity.events` names them


class HeadRoom(NamedTuple):
    """Room for one lifetime."""

    told: Float32  # (X, N) scalars of each target neuron
    weights: Float32  # (N,) those of a column
    members: Int64  # (N,) whose they are
    places: Int64  # (N,) of the near neuron's exceptions
    kept: Float32  # (N,) answers to them
    steps: Float32  # (N,)


@compiled()
def room_for_heads(rule, num_neurons):
    """Return room for `HeadRoom`."""
    return HeadRoom(
        np.empty((len(rule.told), num_neurons), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.int64),
        np.empty(num_neurons, np.int64),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )


@compiled()
def show_heads(
    first, last, populations, connections, neurons, weights, inputs, factor, rule, around, store, learning, shown
):
    """Show an image to the lifetimes `first` to `last` - 1, which live by heads over a front; all in place.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        populations: Constants.
        connections: Constants.
        neurons: State.
        weights: Of all synapses of all lifetimes.
        inputs: What is shown.
        factor: Third factors that change from step to step.
        rule: Front and heads.
        around: What scalars are made of beside neurons.
        store: Lines that are kept from image to image, of this call's own.
        learning: How weights follow the rule.
        shown: Filled in; `changes` is added to.
    """
    num_steps, num_neurons = shown.raster.shape[1:]
    spikes = room_for_spikes(len(populations.start), num_neurons, num_steps)
    rooms = (
        room_for_heads(rule, num_neurons),
        room_for_pair(rule, learning.window),
        room_for_lines(rule.rows.shape[1], rule.rows.shape[2], num_neurons),
    )
    error = np.empty(factor.wanted.shape[1], np.float32)
    for b in range(first, last):
        _show_heads(
            b, populations, connections, neurons, weights, inputs, factor, rule, around, store, learning, spikes, rooms,
            error, shown,
        )  # fmt: skip


@compiled(bare=True)
def _show_heads(
    b, populations, connections, neurons, weights, inputs, factor, rule, around, store, learning, spikes, rooms, error,
    shown,
):  # fmt: skip
    raster, stimulus = shown.raster[b], inputs.stimulus[b]
    begin_image(b, populations, neurons, spikes, raster)
    shown.num_events[b] = 0
    for t in range(len(raster)):
        teach(b, t, populations, neurons, factor, spikes)
        simulate(b, t, stimulus, populations, connections, neurons, weights, inputs, spikes, raster)
        send_back(b, t, populations, neurons, factor, spikes, error)
        learn_heads(
            b, t, populations, connections, neurons, weights, rule, around, store, learning, spikes, rooms, shown
        )
    end_image(b, spikes, shown)


@compiled(bare=True)
def learn_heads(b, t, populations, connections, neurons, weights, rule, around, store, learning, spikes, rooms, shown):
    """Answer the events of step `t` of lifetime `b`."""
    holds, told = len(learning.held) > 0, rooms[0].told
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
        store_of = matrix  # without eligibility, of no use
        if holds:
            store_of = learning.held[first : first + n_pre * n_post].reshape(n_pre, n_post)
        limits = (connections.scale[c] * learning.pace[b], connections.low[c], connections.high[c])
        hold = (holds, learning.keep[t])
        distance, threshold = populations.distance[target], populations.v_th[target]
        for x in range(len(rule.told)):
            tell(b, c, post, n_post, distance, threshold, neurons, around, rule.told[x], told[x])
        g = connections.head[c] + (b * rule.num_groups if rule.own else 0)
        where = (t, learning.window, source, target, pre, post, loops, c, g)
        _answer_rows(where, spikes, rule, store, rooms, matrix, store_of, hold, limits, changes)
        _answer_columns(where, spikes, rule, store, rooms, matrix, store_of, hold, limits, changes)


@compiled(bare=True)
def _answer_rows(where, spikes, rule, store, rooms, matrix, held, hold, limits, changes):
    """Answer the events of pre spikes."""
    t, window, source, target, pre, post, loops, c, g = where
    room, pair, lines = rooms
    n_post, steps, num_near = matrix.shape[1], room.steps, spikes.num_now[source]
    if num_near == 0:
        return
    exceptions = 0
    for place in range(post, post + spikes.num_ever[target]):
        j = spikes.ever[place]
        if spikes.times[post + j, spikes.num_times[post + j] - 1] > t - window:
            room.places[exceptions] = j
            exceptions += 1
    alike = _all_alike(room.told, n_post)
    for place in range(pre, pre + num_near):
        i = spikes.now[place]
        row, times, count = matrix[i], spikes.times[pre + i], spikes.num_times[pre + i]
        near = (times, count, t, window, True)
        found = take_near(times, count, t, window, True, rule, pair)
        for at in range(exceptions):
            j = room.places[at]
            n = post + j
            far = (spikes.times[n], spikes.num_times[n], t, window, False)
            kind = BOTH if spikes.fires[n] else PRE
            here, value = row[j : j + 1], room.kept[at : at + 1]
            _answer_lone(near, far, c, g, kind, j, here, limits, rule, store, rooms, value)
        leave_near(found, pair)
        if alike:
            answer_shared(near, c, g, PRE, room.told, 0, row, n_post, limits, rule, store, pair, lines, steps)
        else:
            _answer_each(g, row, n_post, rule, room.told, pair, lines, steps)
        for at in range(exceptions):
            steps[room.places[at]] = room.kept[at]
        _as_steps(steps, n_post, limits[0])
        if hold[0]:
            if loops:
                steps[i] = 0.0
            _hold_row(held[i], steps, n_post, hold[1])
        elif loops:
            move_row(row[:i], steps[:i], limits[1], limits[2], changes)
            move_row(row[i + 1 :], steps[i + 1 : n_post], limits[1], limits[2], changes)
        else:
            move_row(row, steps[:n_post], limits[1], limits[2], changes)


@compiled(bare=True)
def _answer_lone(near, far, c, g, kind, j, weights, limits, rule, store, rooms, values):
    """Set one value to f of a pair of one event, whose neurons have both fired lately."""
    room, pair, lines = rooms
    if can_be_kept(near, far, weights[0], limits, rule):
        answer_kept(near, far, c, g, kind, room.told, j, weights, limits, rule, store, pair, lines, values)
        return
    times, count, t, window, is_pre = far
    meet_far(times, count, t, window, is_pre, rule, pair)
    first_layer(g, pair.h, rule, pair.part)
    add_scalars(g, kind, room.told, j, rule, pair.part)
    values[0] = answer(g, weights[0], pair.part, rule, pair)


@compiled(bare=True)
def _all_alike(told, count):
    """Whether each scalar is the same for all target neurons."""
    for x in range(len(told)):
        for j in range(1, count):
            if told[x, j] != told[x, 0]:
                return False
    return True


@compiled(bare=True)
def _answer_each(g, row, n_post, rule, told, pair, lines, steps):
    """Answer the events of a row whose post neurons have scalars of their own; their pair's h is `pair.near`."""
    first_layer(g, pair.near, rule, lines.part)
    for j in range(n_post):
        for k in range(len(pair.part)):
            pair.part[k] = lines.part[k]
        add_scalars(g, PRE, told, j, rule, pair.part)
        steps[j] = answer(g, row[j], pair.part, rule, pair)


@compiled(bare=True)
def _as_steps(values, count, scale):
    """Turn f into weight changes that are asked for."""
    squash(values, count)
    for j in range(count):
        values[j] *= scale


@compiled(bare=True)
def _hold_row(held, steps, count, keep):
    for j in range(count):
        held[j] += keep * steps[j]


@compiled(bare=True)
def _answer_columns(where, spikes, rule, store, rooms, matrix, held, hold, limits, changes):
    """Answer the events of post spikes whose pre neurons do not fire."""
    t, window, _, target, pre, post, loops, c, g = where
    room, pair, lines = rooms
    steps, weights, members = room.steps, room.weights, room.members
    for place in range(post, post + spikes.num_now[target]):
        j = spikes.now[place]
        count = 0
        for i in range(len(matrix)):
            if not spikes.fires[pre + i] and not (loops and i == j):
                weights[count], members[count] = matrix[i, j], i
                count += 1
        if count == 0:
            continue
        times, number = spikes.times[post + j], spikes.num_times[post + j]
        near = (times, number, t, window, False)
        found = take_near(times, number, t, window, False, rule, pair)
        answer_shared(near, c, g, POST, room.told, j, weights, count, limits, rule, store, pair, lines, steps)
        for k in range(count):
            n = pre + members[k]
            number = spikes.num_times[n]
            if number > 0 and spikes.times[n, number - 1] > t - window:
                far = (spikes.times[n], number, t, window, True)
                here, value = weights[k : k + 1], steps[k : k + 1]
                _answer_lone(near, far, c, g, POST, j, here, limits, rule, store, rooms, value)
        leave_near(found, pair)
        _as_steps(steps, count, limits[0])
        if hold[0]:
            for k in range(count):
                held[members[k], j] += hold[1] * steps[k]
            continue
        move_row(weights[:count], steps[:count], limits[1], limits[2], changes)
        for k in range(count):
            matrix[members[k], j] = weights[k]
