"""Plasticity by heads over a front: the rows and columns of the synapses whose neurons fire, without a list of events.

In a row (pre spike) all post neurons without a recent spike share a pair of histories, and in a column (post spike) so
do pre neurons. For such a pair a head is piecewise linear in the weight (`kernels/kept_lines.py`). The others are pairs
of one event, which go through the layers together (`kernels/waiting.py`). Where post neurons have different scalars, no
two events of a row are equal, and the layers process whole rows (`kernels/together.py`), and the unequal events of a
column.

Axes: X scalars besides weight and kind, N neurons of all populations, concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined, spliced
from snn_plasticity_gym.kernels.episode import advance, begin, learning_of, networks_of, record_of
from snn_plasticity_gym.kernels.kept_lines import can_be_kept, evaluate_kept, evaluate_shared
from snn_plasticity_gym.kernels.lines import LineRoom, room_for_lines
from snn_plasticity_gym.kernels.pairs import (
    HeadRule,
    PairRoom,
    add_far,
    clear_near,
    room_for_pair,
    set_near,
)
from snn_plasticity_gym.kernels.scalars import fill_scalar
from snn_plasticity_gym.kernels.simulation import end_image
from snn_plasticity_gym.kernels.synapses import (
    as_steps,
    change_column,
    change_row,
    column_of,
    has_events,
    of_both,
    synapses_of,
)
from snn_plasticity_gym.kernels.tables import Float32, Int64
from snn_plasticity_gym.kernels.together import (
    EVENTS,
    SHARED_WORK,
    TogetherRoom,
    combine_groups,
    evaluate_together,
    fill_column,
    fill_hidden,
    fill_row,
    fill_scalars,
    group,
    room_for_together,
    tabulate_far,
)
from snn_plasticity_gym.kernels.waiting import PAIRS, WaitingPairs, evaluate_waiting, room_for_waiting, wait

PRE, POST, BOTH = range(3)  # kinds, as in `plasticity.events`
ROWS = 16  # that are held at most, until their pairs of one event have gone through the layers


class HeadRoom(NamedTuple):
    """Workspace for one lifetime."""

    extras: Float32  # (X, N) scalars of each target neuron
    weights: Float32  # (N,) of a column
    members: Int64  # (N,) their neurons
    places: Int64  # (N,) of the near neuron's exceptions
    rows: Int64  # (ROWS,) pre neurons of the rows that are held
    steps: Float32  # (ROWS * N,) changes of rows, or of a column


HeadRooms = tuple[HeadRoom, PairRoom, LineRoom, TogetherRoom, WaitingPairs]


def room_for_heads(rule: HeadRule, window: int, num_neurons: int) -> HeadRooms:
    """Allocate `HeadRoom`, and workspaces for one pair, lines, batches of events and waiting pairs; `window`: K."""
    events = HeadRoom(
        np.empty((len(rule.extras), num_neurons), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.int64),
        np.empty(num_neurons, np.int64),
        np.empty(ROWS, np.int64),
        np.empty(ROWS * num_neurons, np.float32),
    )
    lines = room_for_lines(rule.rows.shape[1], rule.rows.shape[2], num_neurons)
    together = room_for_together(rule, window, num_neurons)
    return events, room_for_pair(rule, window), lines, together, room_for_waiting(rule)


@compiled(bare=True)
def show_heads(first, last, networks, rule, shared_scalars, store, learning, spikes, rooms, record):
    """Present M images to the lifetimes `first` to `last` - 1, with heads over a front; all in place.

    Args:
        first: First lifetime.
        last: Last lifetime, exclusive.
        networks: Their networks and stimuli; with `learning` and `record` as in `ImageSeries`.
        rule: Front and heads.
        shared_scalars: Scalars that are not of single neurons.
        store: Outputs stored from image to image, of this call.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        rooms: Workspace for rows and columns, pairs and lines.
        record: Output; `changes` is added to.
    """
    for b in range(first, last):
        for m in range(len(record.num_events)):
            shown, paced, kept = networks_of(m, networks), learning_of(m, learning), record_of(m, record)
            begin(b, m, shown, spikes, kept)
            for t in range(kept.raster.shape[1]):
                advance(b, t, shown, spikes, kept)
                learn_heads(b, t, shown, rule, shared_scalars, store, paced, spikes, rooms, kept)
            end_image(b, shown, spikes, kept)


@spliced()
def learn_heads(b, t, networks, rule, shared_scalars, store, learning, spikes, rooms, record):
    """Update weights for the events of step `t` of lifetime `b`."""
    for c in range(len(networks.connections.source)):
        if not has_events(c, networks, learning, spikes):
            continue
        synapses = synapses_of(b, t, c, networks, learning, spikes, record)
        for x in range(len(rule.extras)):
            fill_scalar(b, synapses, networks, shared_scalars, rule.extras[x], rooms[0].extras[x])
        g = synapses.head + (b * rule.num_groups if rule.own else 0)
        if _all_equal(rooms[0].extras, synapses.n_post):
            if synapses.num_pre > 0:
                _update_rows(synapses, g, spikes, rule, store, rooms)
            _update_columns(synapses, g, spikes, rule, store, rooms)
            continue
        if synapses.num_pre > 0:
            _update_rows_together(synapses, g, spikes, rule, store, rooms)
        if synapses.num_post > 0:
            _update_columns_together(synapses, g, spikes, rule, store, rooms)


@inlined()
def _update_rows(synapses, g, spikes, rule, store, rooms):
    """Update weights for pre spikes."""
    room, pair, lines, _, waiting = rooms
    t, window, pre, post, n_post = synapses.t, synapses.window, synapses.pre, synapses.post, synapses.n_post
    exceptions, held, number = 0, 0, 0
    for place in range(post, post + spikes.num_ever[synapses.target]):
        j = spikes.ever[place]
        if _fired_recently(post + j, spikes, synapses):
            room.places[exceptions] = j
            exceptions += 1
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        row, times, count = synapses.matrix[i], spikes.times[pre + i], spikes.num_times[pre + i]
        first, near = held * n_post, (times, count, t, window, True)
        steps = room.steps[first : first + n_post]
        found = set_near(times, count, t, window, True, rule, pair)
        evaluate_shared(near, synapses, g, PRE, room.extras, 0, row, n_post, rule, store.lines, pair, lines, steps)
        for at in range(exceptions):
            j = room.places[at]
            n = post + j
            far = (spikes.times[n], spikes.num_times[n], t, window, False)
            kind = BOTH if of_both(n, spikes, synapses) else PRE
            number = _evaluate_single(number, near, far, synapses, g, kind, j, row, j, first + j, rule, store, rooms)
        clear_near(found, pair)
        room.rows[held] = i
        held += 1
        if held == ROWS or place + 1 == pre + synapses.num_pre:
            evaluate_waiting(g, number, room.extras, rule, waiting, room.steps)
            for k in range(held):
                steps = room.steps[k * n_post : (k + 1) * n_post]
                as_steps(steps, n_post, True, synapses.scale)
                change_row(room.rows[k], steps, synapses)
            held, number = 0, 0


@inlined()
def _fired_recently(n, spikes, synapses):
    """Whether a neuron has a spike within the history."""
    count = spikes.num_times[n]
    return count > 0 and spikes.times[n, count - 1] > synapses.t - synapses.window


@inlined()
def _evaluate_single(number, near, far, synapses, g, kind, j, weights, k, place, rule, store, rooms):
    """Let a pair of one event wait whose neurons both have recent spikes, or compute its f if it is kept.

    Args:
        number: Number of waiting pairs.
        near: As in `evaluate_shared`, of the neuron in `pair`.
        far: The same of the other.
        synapses: Of the event.
        g: Head.
        kind: Of the event.
        j: Post neuron.
        weights: Some weights.
        k: Index of the event's.
        place: Index of its f among `steps`.
        rule: Front and heads.
        store: Stored outputs.
        rooms: Workspace for all.

    Returns:
        The number of waiting pairs.
    """
    room, pair, lines, _, waiting = rooms
    if can_be_kept(near, far, weights[k], synapses, rule):
        here, value = weights[k : k + 1], room.steps[place : place + 1]
        evaluate_kept(near, far, synapses, g, kind, room.extras, j, here, rule, store.lines, pair, lines, value)
        return number
    times, count, t, window, is_pre = far
    add_far(times, count, t, window, is_pre, rule, pair)
    wait(number, pair.h, weights[k], kind, j, place, waiting)
    number += 1
    if number == PAIRS:
        evaluate_waiting(g, number, room.extras, rule, waiting, room.steps)
        number = 0
    return number


@inlined()
def _all_equal(extras, count):
    """Whether each scalar is the same for all target neurons."""
    for x in range(len(extras)):
        for j in range(1, count):
            if extras[x, j] != extras[x, 0]:
                return False
    return True


@inlined()
def _update_columns(synapses, g, spikes, rule, store, rooms):
    """Update weights for post spikes whose pre neurons do not fire."""
    room, pair, lines, _, waiting = rooms
    t, window, pre, post = synapses.t, synapses.window, synapses.pre, synapses.post
    steps, weights, members = room.steps, room.weights, room.members
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        count = column_of(j, spikes, synapses, weights, members, False)
        if count == 0:
            continue
        times, recent = spikes.times[post + j], spikes.num_times[post + j]
        near, number = (times, recent, t, window, False), 0
        found = set_near(times, recent, t, window, False, rule, pair)
        evaluate_shared(near, synapses, g, POST, room.extras, j, weights, count, rule, store.lines, pair, lines, steps)
        for k in range(count):
            n = pre + members[k]
            if _fired_recently(n, spikes, synapses):
                far = (spikes.times[n], spikes.num_times[n], t, window, True)
                number = _evaluate_single(number, near, far, synapses, g, POST, j, weights, k, k, rule, store, rooms)
        evaluate_waiting(g, number, room.extras, rule, waiting, steps)
        clear_near(found, pair)
        as_steps(steps, count, True, synapses.scale)
        change_column(j, weights, members, count, steps, synapses)


@inlined()
def _update_rows_together(synapses, g, spikes, rule, store, rooms):
    """Update weights for pre spikes whose post neurons have different scalars."""
    room, pair, lines, together, _ = rooms
    t, window, pre, post, n_post = synapses.t, synapses.window, synapses.pre, synapses.post, synapses.n_post
    for j in range(n_post):
        room.places[j] = j
        fill_scalars(g, BOTH if of_both(post + j, spikes, synapses) else PRE, room.extras, j, rule, lines.part)
        for h in range(len(lines.part)):
            together.scalars[h, j] = lines.part[h]
    far = group(room.places, n_post, post, t, window, spikes, together.far)
    tabulate_far(room.places, far, post, t, window, False, spikes, rule, pair, together)
    firing, waiting = spikes.now[pre : pre + synapses.num_pre], 0
    for p in range(group(firing, synapses.num_pre, pre, t, window, spikes, together.near)):
        member = together.near.first[p]
        combine_groups(pre + firing[member], far, t, window, True, g, spikes, rule, store.parts, pair, together)
        fill_row(n_post, together)
        while member >= 0:
            i = firing[member]
            member = together.near.next[member]
            if waiting > 0 and (waiting + 1) * n_post > EVENTS:
                _update_waiting_rows(waiting, synapses, g, rule, together)
                waiting = 0
            fill_hidden(g, synapses.matrix[i], n_post, waiting * n_post, rule, together)
            together.rows[waiting] = i
            waiting += 1
    _update_waiting_rows(waiting, synapses, g, rule, together)


@inlined()
def _update_waiting_rows(waiting, synapses, g, rule, together):
    """Update weights for the events of the waiting rows."""
    n_post, values = synapses.n_post, together.values
    evaluate_together(g, waiting * n_post, rule, together)
    as_steps(values, waiting * n_post, True, synapses.scale)
    for place in range(waiting):
        change_row(together.rows[place], values[place * n_post : (place + 1) * n_post], synapses)


@inlined()
def _update_columns_together(synapses, g, spikes, rule, store, rooms):
    """Update weights for post spikes whose pre neurons do not fire; many silent ones by lines."""
    room, pair, _, together, _ = rooms
    t, window, pre, post = synapses.t, synapses.window, synapses.pre, synapses.post
    num_grouped = 0
    for i in range(synapses.n_pre):
        room.places[num_grouped] = i
        num_grouped += not of_both(pre + i, spikes, synapses) and _fired_recently(pre + i, spikes, synapses)
    silent = synapses.n_pre - num_grouped - (synapses.num_pre if synapses.merged else 0)
    shared = silent * rule.rows.shape[2] > SHARED_WORK
    if not shared:
        num_grouped = 0
        for i in range(synapses.n_pre):
            room.places[num_grouped] = i
            num_grouped += not of_both(pre + i, spikes, synapses)
    far = group(room.places, num_grouped, pre, t, window, spikes, together.far)
    tabulate_far(room.places, far, pre, t, window, True, spikes, rule, pair, together)
    firing = spikes.now[post : post + synapses.num_post]
    for p in range(group(firing, synapses.num_post, post, t, window, spikes, together.near)):
        member = together.near.first[p]
        combine_groups(post + firing[member], far, t, window, False, g, spikes, rule, store.parts, pair, together)
        while member >= 0:
            j = firing[member]
            member = together.near.next[member]
            _update_column_together(j, num_grouped, shared, synapses, g, spikes, rule, store, rooms)


@inlined()
def _update_column_together(j, num_grouped, shared, synapses, g, spikes, rule, store, rooms):
    """Update weights for the events of a post neuron whose pair with each group of pre neurons is in `together.parts`.

    Args:
        j: The post neuron.
        num_grouped: Number of pre neurons in groups, listed in `places`.
        shared: Whether the others, which are silent, are evaluated by lines.
        synapses: Of the events.
        g: Head.
        spikes: Of all neurons.
        rule: Front and heads.
        store: Stored outputs.
        rooms: Workspace for all.
    """
    room, pair, lines, together, _ = rooms
    post, steps, weights, members = synapses.post, room.steps, room.weights, room.members
    count = column_of(j, spikes, synapses, weights, members, False)
    if shared:
        times, number = spikes.times[post + j], spikes.num_times[post + j]
        near = (times, number, synapses.t, synapses.window, False)
        evaluate_shared(near, synapses, g, POST, room.extras, j, weights, count, rule, store.lines, pair, lines, steps)
    for k in range(num_grouped):
        together.weights[k] = synapses.matrix[room.places[k], j]
    fill_scalars(g, POST, room.extras, j, rule, lines.part)
    fill_column(num_grouped, lines.part, together)
    fill_hidden(g, together.weights, num_grouped, 0, rule, together)
    evaluate_together(g, num_grouped, rule, together)
    for k in range(count):
        together.member[members[k]] = k
    for k in range(num_grouped):
        i = room.places[k]
        if not (synapses.loops and i == j):
            steps[together.member[i]] = together.values[k]
    as_steps(steps, count, True, synapses.scale)
    change_column(j, weights, members, count, steps, synapses)
