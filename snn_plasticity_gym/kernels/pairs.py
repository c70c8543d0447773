"""Pairs of spike histories in compiled loops: h from lists of spikes by the front's table, and a head's first layer.

h of a pair is a sum over the positions of its windows (`policies/front.py`), and only those near a spike contribute.
One neuron of a pair is *near*, the one that fires; its windows are computed once and then combined with those of all
*far* neurons. A window is the bits of the steps around its position; the next position shifts them by one.

Axes: C2 width of h, S windows, H1 and H2 neurons of a head's hidden layers, G heads, X scalars besides weight and kind,
K steps of a history.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Float32, Int64


class HeadRule(NamedTuple):
    """A front and heads with two hidden layers, at one moment; see `front_table.WindowTable`, `front.WindowValues`."""

    margin: int
    shift: Int64  # (at least K,)
    first: Int64  # (at least K,)
    row_offset: Int64  # (S,)
    silent: Float32  # (C2,) h of a silent pair
    alone: Float32  # (S, 2 * C2) contribution of a window as pre and as post
    both: Float32  # (rows, C2) further contribution of two active windows
    features: Float32  # (G, C2, H1) contribution of each feature of h to the first layer
    first_bias: Float32  # (G, H1)
    scalars: Float32  # (G, 1 + kinds + X, H1) contribution of each scalar: weight first, then, if used, three kinds
    rows: Float32  # (G, H1, H2) contribution of each neuron of the first layer to the second
    bias: Float32  # (G, H2)
    last: Float32  # (G, H2)
    last_bias: Float32  # (G,)
    use_kind: bool  # whether the event's kind is an input
    extras: Int64  # (X,) codes of scalars, see `kernels/scalars.py`
    num_groups: int
    own: bool  # G counts the heads of lifetime after lifetime, `num_groups` each; else they are those of all


class PairRoom(NamedTuple):
    """Workspace for the present pair."""

    number: Int64  # (K,) window of the near neuron at each position, 0 where it is silent
    positions: Int64  # (K,) where it is not silent
    near: Float32  # (C2,) h of the near neuron alone
    h: Float32  # (C2,)


def room_for_pair(rule: HeadRule, window: int) -> PairRoom:
    """Allocate `PairRoom`; `window`: K."""
    width = rule.features.shape[1]
    return PairRoom(
        np.zeros(window, np.int64),
        np.empty(window, np.int64),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )


@inlined()
def first_in_window(times, count, t, window):
    """Return which of a neuron's `count` spikes in this image is the first within the history at step `t`."""
    at = count
    while at > 0 and times[at - 1] > t - window:
        at -= 1
    return at


@inlined()
def set_near(times, count, t, window, is_pre, rule, room):
    """Set the near neuron: fill `room.near`, `number` and `positions`.

    Args:
        times: Steps of its spikes in this image.
        count: Their number.
        t: Step.
        window: K.
        is_pre: Whether it is the pre neuron of its pairs.
        rule: Tables.
        room: Filled in; `number` must be zeros.

    Returns:
        The number of positions.
    """
    for k in range(len(room.near)):
        room.near[k] = rule.silent[k]
    return _walk(times, count, t, window, is_pre, False, room.near, rule, room)


@inlined()
def clear_near(found, room):
    """Set `room.number` to zeros again, at as many positions."""
    for at in range(found):
        room.number[room.positions[at]] = 0


@inlined()
def add_far(times, count, t, window, is_pre, rule, room):
    """Add a far neuron: fill `room.h` of the pair; arguments as for `set_near`."""
    for k in range(len(room.h)):
        room.h[k] = room.near[k]
    _walk(times, count, t, window, is_pre, True, room.h, rule, room)


@inlined()
def _walk(times, count, t, window, is_pre, combines, sums, rule, room):
    """Add the contribution of a neuron's windows; store them, or, if it `combines`, add that of both neurons.

    Returns:
        The number of windows stored.
    """
    width, found = len(sums), 0
    column = 0 if is_pre else width
    mask = (1 << (2 * rule.margin + 1)) - 1
    at, code = first_in_window(times, count, t, window), 0
    position = times[at] - rule.margin if at < count else t + 1
    while position <= t:
        entering = at < count and times[at] == position + rule.margin
        at += entering
        code = ((code << 1) | entering) & mask
        if code == 0:
            if at == count:
                break
            position = times[at] - rule.margin
            continue
        place = position + window - 1 - t
        position += 1
        if place < 0 or code >> rule.shift[place] == 0:
            continue
        number = (code >> rule.shift[place]) + rule.first[place]
        add(sums, rule.alone[number, column : column + width])
        if not combines:
            room.number[place], room.positions[found] = number, place
            found += 1
        elif room.number[place] != 0:
            other = room.number[place]
            add(sums, rule.both[rule.row_offset[number] + other if is_pre else rule.row_offset[other] + number])
    return found


@inlined(fast_sums=True)
def add(sums, row):
    """Add a row."""
    for k in range(len(sums)):
        sums[k] += row[k]


@inlined()
def first_layer(g, h, rule, part):
    """Fill `part` (H1,) with the first layer of head `g`, without scalars."""
    matrix, width = rule.features[g], len(h)
    for j in range(len(part)):
        part[j] = rule.first_bias[g, j]
    eights = width - width % 8
    for k in range(0, eights, 8):
        rows = (matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3])
        more = (matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7])
        add_eight(part, rows, more, h[k : k + 8])
    for k in range(eights, width):
        add_times(part, matrix[k], h[k])


@inlined(fast_sums=True)
def add_eight(sums, rows, more, factors):
    """Add multiples of eight rows, so that sums are read and written once."""
    r0, r1, r2, r3 = rows
    r4, r5, r6, r7 = more
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    f4, f5, f6, f7 = factors[4], factors[5], factors[6], factors[7]
    for i in range(len(sums)):
        first = f0 * r0[i] + f1 * r1[i] + (f2 * r2[i] + f3 * r3[i])
        sums[i] += first + (f4 * r4[i] + f5 * r5[i] + (f6 * r6[i] + f7 * r7[i]))


@inlined(fast_sums=True)
def add_times(sums, row, factor):
    """Add a multiple of a row."""
    for i in range(len(sums)):
        sums[i] += factor * row[i]


@inlined()
def add_scalars(g, kind, extras, j, rule, part):
    """Add to the first layer the inputs besides h and weight: the event's kind and scalars of post neuron `j`."""
    scalars, first = rule.scalars[g], 1
    if rule.use_kind:
        add_times(part, scalars[1 + kind], np.float32(1.0))
        first = 4
    for x in range(len(rule.extras)):
        add_times(part, scalars[first + x], extras[x, j])
