"""Heads evaluated for the events of a row or a column together, where post neurons have different scalars.

Neurons of the same history are one group, so that h and the first layer are computed once per pair of groups, not per
pair of neurons; the layers then process all events at once, in vector instructions.

Axes: N neurons, Q groups, C2 width of h, H1 and H2 neurons of a head's hidden layers, K steps of a history.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.kept_lines import GOLDEN, NOTHING, place_of
from snn_plasticity_gym.kernels.pairs import (
    HeadRule,
    add,
    add_eight,
    add_scalars,
    clear_near,
    first_in_window,
    first_layer,
    set_near,
)
from snn_plasticity_gym.kernels.simulation import copy
from snn_plasticity_gym.kernels.tables import Float32, Int64

EVENTS = 128  # batch of the layers, small enough for the nearest cache
SHARED_WORK = 4000  # silent partners, times neurons of the second layer, from which on lines are faster
KEPT_STEPS = 31  # first layers are cached for histories of so many steps at most: two of them are one number


class Groups(NamedTuple):
    """Neurons by their histories."""

    of: Int64  # (N,) group of each member
    first: Int64  # (Q,) first member of each group
    next: Int64  # (N,) next member of the group; -1: none
    slot: Int64  # (Q,) index of a group in `table`
    table: Int64  # groups by hash of their histories; -1: none


class PartStore(NamedTuple):
    """First layers of pairs of histories, without weight and scalars."""

    keys: Int64  # (pairs,) both histories, bit by bit
    tags: Int64  # (pairs,) side and head
    parts: Float32  # (pairs, H1)


class FarSides(NamedTuple):
    """Contribution of each group of far neurons to h, for any near neuron."""

    code: Int64  # (Q,) the history, bit by bit
    alone: Float32  # (Q, C2) by itself
    alive: Int64  # (Q,) active windows
    position: Int64  # (Q, K) their positions
    number: Int64  # (Q, K) their numbers


class TogetherRoom(NamedTuple):
    """Workspace for the events of a row or a column."""

    near: Groups
    far: Groups
    sides: FarSides
    parts: Float32  # (Q, H1) first layer of the near group with each far one, without weight and scalars
    scalars: Float32  # (H1, N) contribution of scalars for each far neuron
    base: Float32  # (H1, N) first layer for each far neuron without the weight
    hidden: Float32  # (H1 in whole eights, M) first layer of the waiting events; M: EVENTS, or N if that is more
    weights: Float32  # (N,) of events of a column
    values: Float32  # (M,) outputs for the waiting events
    rows: Int64  # (EVENTS,) pre neurons whose rows wait
    member: Int64  # (N,) index of each pre neuron's event in a column
    sums: Float32  # (EVENTS,) a neuron of the second layer
    factors: Float32  # (8,)


def _groups(num_neurons: int) -> Groups:
    slots = 1 << int(np.ceil(np.log2(4 * num_neurons)))
    of, first, after, slot = np.empty((4, num_neurons), np.int64)
    return Groups(of, first, after, slot, np.full(slots, -1, np.int64))


def empty_parts(h1: int, pairs: int) -> PartStore:
    """Return an empty store for heads with such a hidden layer; memory is used as it is filled."""
    keys, tags = np.full((2, pairs), NOTHING, np.int64)
    return PartStore(keys, tags, np.zeros((pairs, h1), np.float32))


def room_for_together(rule: HeadRule, window: int, num_neurons: int) -> TogetherRoom:
    """Allocate `TogetherRoom`; `window`: K. Without scalars it is unused, and nearly empty."""
    if len(rule.extras) == 0:
        num_neurons = 1
    width, h1 = rule.features.shape[1:]
    position, number = np.empty((2, num_neurons, window), np.int64)
    alone, (code, alive) = np.empty((num_neurons, width), np.float32), np.empty((2, num_neurons), np.int64)
    scalars, base = np.empty((2, h1, num_neurons), np.float32)
    most = max(EVENTS, num_neurons)
    return TogetherRoom(
        _groups(num_neurons),
        _groups(num_neurons),
        FarSides(code, alone, alive, position, number),
        np.empty((num_neurons, h1), np.float32),
        scalars,
        base,
        np.zeros((-(-h1 // 8) * 8, most), np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(most, np.float32),
        np.empty(EVENTS, np.int64),
        np.empty(num_neurons, np.int64),
        np.empty(EVENTS, np.float32),
        np.empty(8, np.float32),
    )


@inlined()
def group(members, count, base, t, window, spikes, groups):
    """Group neurons by their histories.

    Args:
        members: Neurons, by their indices in a population.
        count: Their number.
        base: Index of its first neuron among all.
        t: Step.
        window: K.
        spikes: Of all neurons.
        groups: Filled in; members are counted in their order.

    Returns:
        The number of groups.
    """
    found, mask = 0, len(groups.table) - 1
    for k in range(count):
        n = base + members[k]
        slot = _hash(n, t, window, spikes) & mask
        while True:
            known = groups.table[slot]
            if known < 0:
                groups.table[slot], groups.slot[found] = found, slot
                groups.first[found], groups.next[k], groups.of[k] = k, -1, found
                found += 1
                break
            other = groups.first[known]
            if _same_history(n, base + members[other], t, window, spikes):
                groups.next[k], groups.next[other], groups.of[k] = groups.next[other], k, known
                break
            slot = (slot + 1) & mask
    for q in range(found):
        groups.table[groups.slot[q]] = -1
    return found


@inlined()
def _hash(n, t, window, spikes):
    """Return a hash of a neuron's spikes."""
    times, count = spikes.times[n], spikes.num_times[n]
    hashed = np.int64(0)
    for at in range(first_in_window(times, count, t, window), count):
        hashed = (hashed + times[at] + 1) * np.int64(GOLDEN)
        hashed ^= hashed >> 32
    return hashed


@inlined()
def _same_history(n, other, t, window, spikes):
    """Whether two neurons have the same spikes in the window."""
    mine, theirs = spikes.times[n], spikes.times[other]
    count, their_count = spikes.num_times[n], spikes.num_times[other]
    at, there = first_in_window(mine, count, t, window), first_in_window(theirs, their_count, t, window)
    same = count - at == their_count - there
    while same and at < count:
        same = mine[at] == theirs[there]
        at, there = at + 1, there + 1
    return same


@inlined()
def tabulate_far(members, num_groups, base, t, window, is_pre, spikes, rule, pair, room):
    """Compute `room.sides` for the groups of `room.far`; arguments as for `group`, and `is_pre`: they are pre neurons.

    `pair.number` must be zeros, and is left so.
    """
    sides, width = room.sides, len(pair.near)
    for q in range(num_groups):
        n = base + members[room.far.first[q]]
        found = set_near(spikes.times[n], spikes.num_times[n], t, window, is_pre, rule, pair)
        sides.code[q] = _code(n, t, window, spikes)
        for k in range(width):
            sides.alone[q, k] = pair.near[k] - rule.silent[k]
        for at in range(found):
            place = pair.positions[at]
            sides.position[q, at], sides.number[q, at] = place, pair.number[place]
        sides.alive[q] = found
        clear_near(found, pair)


@inlined()
def _code(n, t, window, spikes):
    """Return a neuron's history as a number, the bits of its spikes; -1: it is too long."""
    if window > KEPT_STEPS:
        return np.int64(NOTHING)
    times, count, code = spikes.times[n], spikes.num_times[n], np.int64(0)
    for at in range(first_in_window(times, count, t, window), count):
        code |= np.int64(1) << (t - times[at])
    return code


@inlined()
def combine_groups(n, num_groups, t, window, is_pre, g, spikes, rule, store, pair, room):
    """Compute `room.parts` for near neuron `n`, a pre neuron if `is_pre`, and all groups of `room.far`."""
    found = set_near(spikes.times[n], spikes.num_times[n], t, window, is_pre, rule, pair)
    code, tag = _code(n, t, window, spikes), np.int64(2 * g + is_pre)
    for q in range(num_groups):
        part, key = room.parts[q], np.int64(NOTHING)
        if code != NOTHING:
            key = (code << KEPT_STEPS) | room.sides.code[q]
        place = place_of(key, tag, len(store.keys))
        if key != NOTHING and store.keys[place] == key and store.tags[place] == tag:
            copy(part, store.parts[place])
            continue
        _combine_group(q, is_pre, rule, pair, room.sides)
        first_layer(g, pair.h, rule, part)
        if key != NOTHING:
            store.keys[place], store.tags[place] = key, tag
            copy(store.parts[place], part)
    clear_near(found, pair)


@inlined()
def _combine_group(q, is_pre, rule, pair, sides):
    """Compute `pair.h` for the near neuron of `pair` and group `q`."""
    for k in range(len(pair.h)):
        pair.h[k] = pair.near[k] + sides.alone[q, k]
    for at in range(sides.alive[q]):
        mine, theirs = pair.number[sides.position[q, at]], sides.number[q, at]
        if mine != 0:
            row = rule.row_offset[mine] + theirs if is_pre else rule.row_offset[theirs] + mine
            add(pair.h, rule.both[row])


@inlined()
def fill_scalars(g, kind, extras, j, rule, part):
    """Set `part` (H1,) to the contribution of kind and scalars of post neuron `j` to the first layer."""
    for h in range(len(part)):
        part[h] = 0.0
    add_scalars(g, kind, extras, j, rule, part)


@inlined()
def fill_row(count, room):
    """Compute `room.base` for the first `count` far neurons, from `parts` and each one's scalars."""
    for h in range(len(room.base)):
        base, scalars = room.base[h], room.scalars[h]
        for k in range(count):
            base[k] = room.parts[room.far.of[k], h] + scalars[k]


@inlined()
def fill_column(count, part, room):
    """Compute `room.base` for the first `count` far neurons, from `parts` and `part`, of the near one's scalars."""
    for h in range(len(room.base)):
        base = room.base[h]
        for k in range(count):
            base[k] = room.parts[room.far.of[k], h] + part[h]


@inlined()
def fill_hidden(g, weights, count, place, rule, room):
    """Store the first layer of the first `count` far neurons, with these weights, from `place` on in `room.hidden`."""
    for h in range(len(room.base)):
        _rectify(room.hidden[h, place : place + count], room.base[h], weights, rule.scalars[g, 0, h])


@inlined(fused=True)
def _rectify(active, base, weights, b):
    """Set a neuron of the first layer."""
    for k in range(len(active)):
        value = base[k] + weights[k] * b
        active[k] = value if value > np.float32(0.0) else np.float32(0.0)


@inlined()
def evaluate_together(g, count, rule, room):
    """Set the first `count` of `room.values` to f of the waiting events in `room.hidden`."""
    h1, h2 = rule.rows.shape[1:]
    matrix, factors = rule.rows[g], room.factors
    for start in range(0, count, EVENTS):
        end = min(start + EVENTS, count)
        total, sums = room.values[start:end], room.sums[: end - start]
        for k in range(len(total)):
            total[k] = rule.last_bias[g]
        for i in range(h2):
            for k in range(len(sums)):
                sums[k] = rule.bias[g, i]
            for h in range(0, h1, 8):
                for k in range(8):
                    factors[k] = matrix[h + k, i] if h + k < h1 else np.float32(0.0)
                rows = (
                    room.hidden[h, start:end], room.hidden[h + 1, start:end],
                    room.hidden[h + 2, start:end], room.hidden[h + 3, start:end],
                )  # fmt: skip
                more = (
                    room.hidden[h + 4, start:end], room.hidden[h + 5, start:end],
                    room.hidden[h + 6, start:end], room.hidden[h + 7, start:end],
                )  # fmt: skip
                add_eight(sums, rows, more, factors)
            _add_rectified(total, sums, rule.last[g, i])


@inlined(fused=True)
def _add_rectified(total, sums, factor):
    """Add a neuron of the second layer to the outputs."""
    for k in range(len(total)):
        value = sums[k]
        total[k] += factor * (value if value > np.float32(0.0) else np.float32(0.0))
