"""A head as lines: computing f(w) for one pair of histories, and look-up of weights; see `kernels/heads.py`.

f is continuous at a kink of the first layer: one neuron's row of W2, times its b, is added to the slopes of the second
layer or taken from them. So walking from kink to kink takes one pass over the second layer each, in which f, its slope
and the number of the neurons that switch on the way to the next kink are sums; only if there are any, they are searched
for. Nothing is allocated here.

Axes: H1 and H2 neurons of the two hidden layers, N weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.tables import Bytes, Float32, Int32, Int64

BUCKETS = 256  # equal parts of an interval of weights, each with the first line that reaches into it


class LineRoom(NamedTuple):
    """Workspace for computing lines: those of the present head, and intermediate values."""

    knot: Float32  # (`most_lines` + 1,) weight at which each line begins
    height: Float32  # f there
    slope: Float32
    bucket: Int32  # (BUCKETS,) first line that reaches into each
    switches: Float32  # (H1,) kinks of the first layer
    neurons: Int64  # (H1,) their neurons
    here: Float32  # (H2,) second layer at a kink
    ahead: Float32  # (H2,) and at the next
    gain: Float32  # (H2,) its slopes in between
    crossing: Float32  # (H2,) kinks of the second layer
    crossed: Int64  # (H2 + 8,) their neurons
    flags: Bytes  # (H2 in whole eights,) 1 for those between two weights
    part: Float32  # (H1,) first layer at weight 0
    line: Int32  # (N,) of each weight in a look-up


@compiled()
def most_lines(h1, h2):
    """Return the largest number of lines of f: first-layer neurons switch once, those of the second once in between."""
    return (h1 + 1) * (h2 + 1)


def room_for_lines(h1: int, h2: int, num_weights: int) -> LineRoom:
    """Allocate `LineRoom`, for look-ups of so many weights at once."""
    most = most_lines(h1, h2) + 1
    return LineRoom(
        np.empty(most, np.float32),
        np.empty(most, np.float32),
        np.empty(most, np.float32),
        np.empty(BUCKETS, np.int32),
        np.empty(h1, np.float32),
        np.empty(h1, np.int64),
        np.empty(h2, np.float32),
        np.empty(h2, np.float32),
        np.empty(h2, np.float32),
        np.empty(h2, np.float32),
        np.empty(h2 + 8, np.int64),
        np.zeros(-(-h2 // 8) * 8, np.uint8),
        np.empty(h1, np.float32),
        np.empty(num_weights, np.int32),
    )


@inlined()
def write_out(low, high, a, b, rows, bias, last, last_bias, room):
    """Compute the lines of f between two weights.

    Args:
        low: Smallest weight.
        high: Largest weight.
        a: First layer at weight 0, (H1,).
        b: Change of it per unit of weight, (H1,).
        rows: W2 transposed, (H1, H2).
        bias: c, (H2,).
        last: v, (H2,).
        last_bias: d.
        room: Output: the lines; after the last one is a knot at infinity.

    Returns:
        The number of lines, at least 1.
    """
    knot, height, slope, here, ahead, gain = room.knot, room.height, room.slope, room.here, room.ahead, room.gain
    for i in range(len(bias)):
        here[i] = bias[i]
        gain[i] = 0.0
    count = 0
    for j in range(len(a)):
        first, second = a[j] + b[j] * low, a[j] + b[j] * high
        if first > 0.0:
            _add_row(here, gain, rows[j], first, b[j])
        if (first > 0.0) != (second > 0.0):
            at = -a[j] / b[j]
            at = low if at < low else at
            room.switches[count], room.neurons[count] = high if at > high else at, j
            count += 1
    sort_few(room.switches, room.neurons, count)
    lines, at, factor, j = 0, low, np.float32(0.0), 0
    for step in range(count + 1):
        until = room.switches[step] if step < count else high
        value, rise, crossings = _advance(here, ahead, gain, rows[j], factor, last, until - at)
        value += last_bias
        knot[lines], height[lines], slope[lines] = at, value, rise
        lines += 1
        if crossings > 0:
            _find(here, ahead, gain, at, until, crossings, room)
            sort_few(room.crossing, room.crossed, crossings)
            for place in range(crossings):
                i, w = room.crossed[place], room.crossing[place]
                value += rise * (w - at)
                change = last[i] * gain[i]
                rise += change if here[i] <= 0.0 else -change
                knot[lines], height[lines], slope[lines] = w, value, rise
                lines, at = lines + 1, w
        here, ahead, at = ahead, here, until
        if step < count:
            j = room.neurons[step]
            factor = abs(b[j])  # it switches on with a positive b, and off with a negative one
    knot[lines] = np.inf
    return lines


@inlined(fast_sums=True)
def _add_row(here, gain, row, value, b):
    """Add a first-layer neuron's input to the second layer."""
    for i in range(len(row)):
        here[i] += value * row[i]
        gain[i] += b * row[i]


@inlined(fast_sums=True)
def _advance(here, ahead, gain, row, factor, last, width):
    """Change the slopes of the second layer by `factor` * row and go on by `width`.

    Returns:
        v . ReLU(second layer), its slope, and the number of neurons that switch in between.
    """
    value, rise, crossings = np.float32(0.0), np.float32(0.0), np.int32(0)
    for i in range(len(row)):
        steep = gain[i] + factor * row[i]
        gain[i] = steep
        now = here[i]
        then = now + steep * width
        ahead[i] = then
        counted = last[i] if now > 0.0 else np.float32(0.0)
        value += counted * now
        rise += counted * steep
        crossings += np.int32((now > 0.0) != (then > 0.0))
    return value, rise, crossings


@inlined()
def _find(here, ahead, gain, at, until, count, room):
    """List the `count` neurons that switch between two weights, and where.

    They are few among many: flags are set in vector instructions, and looked at eight at a time.
    """
    flags, crossing, crossed = room.flags, room.crossing, room.crossed
    for i in range(len(here)):
        flags[i] = np.uint8((here[i] > 0.0) != (ahead[i] > 0.0))
    eights, number = flags.view(np.int64), 0
    for eight in range(len(eights)):
        if eights[eight] != 0:
            for i in range(8 * eight, 8 * eight + 8):
                crossed[number] = i
                number += flags[i]
    for place in range(count):
        i = crossed[place]
        w = at - here[i] / gain[i]
        w = w if w > at else at
        crossing[place] = w if w < until else until


@inlined()
def sort_few(values, names, count):
    """Sort the first few values, and their indices with them, by insertion, as they are few."""
    for end in range(1, count):
        value, name, place = values[end], names[end], end
        while place > 0 and values[place - 1] > value:
            values[place], names[place] = values[place - 1], names[place - 1]
            place -= 1
        values[place], names[place] = value, name


@inlined()
def fill_buckets(low, per_weight, lines, knot, bucket):
    """Fill `bucket` in; return the largest number of lines that begin in one bucket."""
    for at in range(BUCKETS):
        bucket[at] = 0
    for line in range(1, lines):
        bucket[_bucket_of(knot[line], low, per_weight)] += 1
    before, most = 0, 0
    for at in range(BUCKETS):
        own = bucket[at]
        bucket[at] = before
        before += own
        most = max(most, own)
    return most


@inlined()
def _bucket_of(weight, low, per_weight):
    x = (weight - low) * per_weight
    x = x if x > np.float32(0.0) else np.float32(0.0)  # NaN, too
    x = x if x < np.float32(BUCKETS - 1) else np.float32(BUCKETS - 1)
    return np.int32(x)


# Indices without a sign are not checked for counting from the end.
@inlined()
def look_up(weights, count, low, per_weight, steps, bucket, knot, height, slope, line, values):
    """Set the first `count` of `values` to f of `weights`; `steps`: as `fill_buckets` returns; `line`: room, (N,)."""
    for k in range(count):
        line[k] = bucket[np.uint64(_bucket_of(weights[k], low, per_weight))]
    for _ in range(steps):
        for k in range(count):
            line[k] += np.int32(knot[np.uint64(line[k]) + np.uint64(1)] <= weights[k])
    for k in range(count):
        at = np.uint64(line[k])
        values[k] = height[at] + slope[at] * (weights[k] - knot[at])
