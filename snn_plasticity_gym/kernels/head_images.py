"""Plasticity by heads over a front: the rows and columns of the synapses whose neurons fire, without a list of events.

In a row (pre spike) all post neurons that have not fired lately share a pair of histories, and so in a column (post
spike) do pre neurons. For such a pair a head is lines over the weight (`kernels/kept_lines.py`). The others are pairs
of one event, and go through the layers (`kernels/pairs.py`). Where post neurons have scalars of their own, no two
events of a row are alike, and the layers take whole rows (`kernels/together.py`), and what is not alike of a column.

Axes: X scalars beside weight and kind, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.episode import advance, begin
from snn_plasticity_gym.kernels.kept_lines import answer_kept, answer_shared, can_be_kept
from snn_plasticity_gym.kernels.lines import LineRoom, room_for_lines
from snn_plasticity_gym.kernels.pairs import (
    HeadRule,
    PairRoom,
    add_scalars,
    answer,
    first_layer,
    leave_near,
    meet_far,
    room_for_pair,
    take_near,
)
from snn_plasticity_gym.kernels.scalars import tell
from snn_plasticity_gym.kernels.simulation import end_image
from snn_plasticity_gym.kernels.synapses import (
    as_steps,
    change_column,
    change_row,
    learns,
    of_both,
    synapses_of,
    take_column,
)
from snn_plasticity_gym.kernels.tables import Float32, Int64
from snn_plasticity_gym.kernels.together import (
    EVENTS,
    SHARED_WORK,
    TogetherRoom,
    answer_together,
    group,
    lay_column,
    lay_hidden,
    lay_row,
    meet_groups,
    note_far,
    note_scalars,
    room_for_together,
)

PRE, POST, BOTH = range(3)  # kinds, as `plasticity.events` names them


class HeadRoom(NamedTuple):
    """Room for one lifetime."""

    told: Float32  # (X, N) scalars of each target neuron
    weights: Float32  # (N,) those of a column
    members: Int64  # (N,) whose they are
    places: Int64  # (N,) of the near neuron's exceptions
    kept: Float32  # (N,) answers to them
    steps: Float32  # (N,)


HeadRooms = tuple[HeadRoom, PairRoom, LineRoom, TogetherRoom]


def room_for_heads(rule: HeadRule, window: int, num_neurons: int) -> HeadRooms:
    """Return room for `HeadRoom`, for the pair at hand, for lines, and for events together; `window`: K."""
    events = HeadRoom(
        np.empty((len(rule.told), num_neurons), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.int64),
        np.empty(num_neurons, np.int64),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )
    lines = room_for_lines(rule.rows.shape[1], rule.rows.shape[2], num_neurons)
    return events, room_for_pair(rule, window), lines, room_for_together(rule, window, num_neurons)


@compiled(bare=True)
def show_heads(first, last, lives, rule, around, store, learning, spikes, rooms, shown):
    """Show an image to the lifetimes `first` to `last` - 1, which live by heads over a front; all in place.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        lives: Their networks, and what they are shown.
        rule: Front and heads.
        around: What scalars are made of beside neurons.
        store: Answers that are kept from image to image, of this call's own.
        learning: How weights follow the rule.
        spikes: Room for spikes.
        rooms: Room for rows and columns, pairs and lines.
        shown: Filled in; `changes` is added to.
    """
    for b in range(first, last):
        begin(b, lives, spikes, shown)
        for t in range(shown.raster.shape[1]):
            advance(b, t, lives, spikes, shown)
            learn_heads(b, t, lives, rule, around, store, learning, spikes, rooms, shown)
        end_image(b, lives, spikes, shown)


@inlined()
def learn_heads(b, t, lives, rule, around, store, learning, spikes, rooms, shown):
    """Answer the events of step `t` of lifetime `b`."""
    for c in range(len(lives.connections.source)):
        if not learns(c, lives, learning, spikes):
            continue
        synapses = synapses_of(b, t, c, lives, learning, spikes, shown)
        for x in range(len(rule.told)):
            tell(b, synapses, lives, around, rule.told[x], rooms[0].told[x])
        g = synapses.head + (b * rule.num_groups if rule.own else 0)
        if _all_alike(rooms[0].told, synapses.n_post):
            if synapses.num_pre > 0:
                _answer_rows(synapses, g, spikes, rule, store, rooms)
            _answer_columns(synapses, g, spikes, rule, store, rooms)
            continue
        if synapses.num_pre > 0:
            _answer_rows_together(synapses, g, spikes, rule, store, rooms)
        if synapses.num_post > 0:
            _answer_columns_together(synapses, g, spikes, rule, store, rooms)


@inlined()
def _answer_rows(synapses, g, spikes, rule, store, rooms):
    """Answer the events of pre spikes."""
    room, pair, lines, _ = rooms
    t, window, pre, post, n_post = synapses.t, synapses.window, synapses.pre, synapses.post, synapses.n_post
    steps, exceptions = room.steps, 0
    for place in range(post, post + spikes.num_ever[synapses.target]):
        j = spikes.ever[place]
        if _fired_lately(post + j, spikes, synapses):
            room.places[exceptions] = j
            exceptions += 1
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        row, times, count = synapses.matrix[i], spikes.times[pre + i], spikes.num_times[pre + i]
        near = (times, count, t, window, True)
        found = take_near(times, count, t, window, True, rule, pair)
        for at in range(exceptions):
            j = room.places[at]
            n = post + j
            far = (spikes.times[n], spikes.num_times[n], t, window, False)
            kind = BOTH if of_both(n, spikes, synapses) else PRE
            here, value = row[j : j + 1], room.kept[at : at + 1]
            _answer_lone(near, far, synapses, g, kind, j, here, rule, store, rooms, value)
        leave_near(found, pair)
        answer_shared(near, synapses, g, PRE, room.told, 0, row, n_post, rule, store.lines, pair, lines, steps)
        for at in range(exceptions):
            steps[room.places[at]] = room.kept[at]
        as_steps(steps, n_post, True, synapses.scale)
        change_row(i, steps, synapses)


@inlined()
def _fired_lately(n, spikes, synapses):
    """Whether a neuron has a spike that is not forgotten."""
    count = spikes.num_times[n]
    return count > 0 and spikes.times[n, count - 1] > synapses.t - synapses.window


@inlined()
def _answer_lone(near, far, synapses, g, kind, j, weights, rule, store, rooms, values):
    """Set one value to f of a pair of one event, whose neurons have both fired lately."""
    room, pair, lines, _ = rooms
    if can_be_kept(near, far, weights[0], synapses, rule):
        answer_kept(near, far, synapses, g, kind, room.told, j, weights, rule, store.lines, pair, lines, values)
        return
    times, count, t, window, is_pre = far
    meet_far(times, count, t, window, is_pre, rule, pair)
    first_layer(g, pair.h, rule, pair.part)
    add_scalars(g, kind, room.told, j, rule, pair.part)
    values[0] = answer(g, weights[0], pair.part, rule, pair)


@inlined()
def _all_alike(told, count):
    """Whether each scalar is the same for all target neurons."""
    for x in range(len(told)):
        for j in range(1, count):
            if told[x, j] != told[x, 0]:
                return False
    return True


@inlined()
def _answer_columns(synapses, g, spikes, rule, store, rooms):
    """Answer the events of post spikes whose pre neurons do not fire."""
    room, pair, lines, _ = rooms
    t, window, pre, post = synapses.t, synapses.window, synapses.pre, synapses.post
    steps, weights, members = room.steps, room.weights, room.members
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        count = take_column(j, spikes, synapses, weights, members, False)
        if count == 0:
            continue
        times, number = spikes.times[post + j], spikes.num_times[post + j]
        near = (times, number, t, window, False)
        found = take_near(times, number, t, window, False, rule, pair)
        answer_shared(near, synapses, g, POST, room.told, j, weights, count, rule, store.lines, pair, lines, steps)
        for k in range(count):
            n = pre + members[k]
            if _fired_lately(n, spikes, synapses):
                far = (spikes.times[n], spikes.num_times[n], t, window, True)
                here, value = weights[k : k + 1], steps[k : k + 1]
                _answer_lone(near, far, synapses, g, POST, j, here, rule, store, rooms, value)
        leave_near(found, pair)
        as_steps(steps, count, True, synapses.scale)
        change_column(j, weights, members, count, steps, synapses)


@inlined()
def _answer_rows_together(synapses, g, spikes, rule, store, rooms):
    """Answer the events of pre spikes whose post neurons have scalars of their own."""
    room, pair, lines, together = rooms
    t, window, pre, post, n_post = synapses.t, synapses.window, synapses.pre, synapses.post, synapses.n_post
    for j in range(n_post):
        room.places[j] = j
        note_scalars(g, BOTH if of_both(post + j, spikes, synapses) else PRE, room.told, j, rule, lines.part)
        for h in range(len(lines.part)):
            together.scalars[h, j] = lines.part[h]
    far = group(room.places, n_post, post, t, window, spikes, together.far)
    note_far(room.places, far, post, t, window, False, spikes, rule, pair, together)
    firing, waiting = spikes.now[pre : pre + synapses.num_pre], 0
    for p in range(group(firing, synapses.num_pre, pre, t, window, spikes, together.near)):
        member = together.near.first[p]
        meet_groups(pre + firing[member], far, t, window, True, g, spikes, rule, store.parts, pair, together)
        lay_row(n_post, together)
        while member >= 0:
            i = firing[member]
            member = together.near.next[member]
            if waiting > 0 and (waiting + 1) * n_post > EVENTS:
                _answer_waiting(waiting, synapses, g, rule, together)
                waiting = 0
            lay_hidden(g, synapses.matrix[i], n_post, waiting * n_post, rule, together)
            together.rows[waiting] = i
            waiting += 1
    _answer_waiting(waiting, synapses, g, rule, together)


@inlined()
def _answer_waiting(waiting, synapses, g, rule, together):
    """Answer the events of the rows that wait."""
    n_post, values = synapses.n_post, together.values
    answer_together(g, waiting * n_post, rule, together)
    as_steps(values, waiting * n_post, True, synapses.scale)
    for place in range(waiting):
        change_row(together.rows[place], values[place * n_post : (place + 1) * n_post], synapses)


@inlined()
def _answer_columns_together(synapses, g, spikes, rule, store, rooms):
    """Answer the events of post spikes whose pre neurons do not fire; many silent ones go by lines."""
    room, pair, _, together = rooms
    t, window, pre, post = synapses.t, synapses.window, synapses.pre, synapses.post
    among = 0
    for i in range(synapses.n_pre):
        room.places[among] = i
        among += not of_both(pre + i, spikes, synapses) and _fired_lately(pre + i, spikes, synapses)
    silent = synapses.n_pre - among - (synapses.num_pre if synapses.merged else 0)
    shared = silent * rule.rows.shape[2] > SHARED_WORK
    if not shared:
        among = 0
        for i in range(synapses.n_pre):
            room.places[among] = i
            among += not of_both(pre + i, spikes, synapses)
    far = group(room.places, among, pre, t, window, spikes, together.far)
    note_far(room.places, far, pre, t, window, True, spikes, rule, pair, together)
    firing = spikes.now[post : post + synapses.num_post]
    for p in range(group(firing, synapses.num_post, post, t, window, spikes, together.near)):
        member = together.near.first[p]
        meet_groups(post + firing[member], far, t, window, False, g, spikes, rule, store.parts, pair, together)
        while member >= 0:
            j = firing[member]
            member = together.near.next[member]
            _answer_column_together(j, among, shared, synapses, g, spikes, rule, store, rooms)


@inlined()
def _answer_column_together(j, among, shared, synapses, g, spikes, rule, store, rooms):
    """Answer the events of a post neuron whose pair with each group of pre neurons is in `together.parts`.

    Args:
        j: The post neuron.
        among: How many pre neurons are in groups, listed in `places`.
        shared: Whether others, which are silent, go by lines.
        synapses: Whose events they are.
        g: Head.
        spikes: Of all neurons.
        rule: Front and heads.
        store: Answers that are kept.
        rooms: Room for all.
    """
    room, pair, lines, together = rooms
    post, steps, weights, members = synapses.post, room.steps, room.weights, room.members
    count = take_column(j, spikes, synapses, weights, members, False)
    if shared:
        times, number = spikes.times[post + j], spikes.num_times[post + j]
        near = (times, number, synapses.t, synapses.window, False)
        answer_shared(near, synapses, g, POST, room.told, j, weights, count, rule, store.lines, pair, lines, steps)
    for k in range(among):
        together.weights[k] = synapses.matrix[room.places[k], j]
    note_scalars(g, POST, room.told, j, rule, lines.part)
    lay_column(among, lines.part, together)
    lay_hidden(g, together.weights, among, 0, rule, together)
    answer_together(g, among, rule, together)
    for k in range(count):
        together.member[members[k]] = k
    for k in range(among):
        i = room.places[k]
        if not (synapses.loops and i == j):
            steps[together.member[i]] = together.values[k]
    as_steps(steps, count, True, synapses.scale)
    change_column(j, weights, members, count, steps, synapses)
