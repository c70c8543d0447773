"""A cache of lines of a head: pairs of few spikes and silence recur in every row, step and image.

Cached lines span the smallest to the largest weight that plasticity allows, so that they do not depend on the weights
of the first request. Others, of many spikes or beyond these limits, are computed for the present weights.

Axes: X scalars besides weight and kind, N neurons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.lines import BUCKETS, fill_buckets, look_up, write_out
from snn_plasticity_gym.kernels.pairs import add_far, add_scalars, first_in_window, first_layer
from snn_plasticity_gym.kernels.tables import Float32, Int32, Int64

KEPT_SPIKES = 3  # lines are cached for histories of so many spikes at most: others hardly ever recur
AGE_BITS = 20  # of a spike in a key
NOTHING = -1
GOLDEN = -7046029254386353131  # 2^64 times the golden ratio, odd


class LineStore(NamedTuple):
    """Lines of earlier pairs, each at the index of its key; later ones replace earlier ones."""

    keys: Int64  # (pairs,) ages of the spikes of the neuron that is not silent
    tags: Int64  # (pairs,) connection, side and head
    steps: Int32  # (pairs,) see `fill_buckets`
    bucket: Int32  # (pairs, BUCKETS)
    knot: Float32  # (pairs, most that are cached)
    height: Float32
    slope: Float32


def most_kept(h1: int, h2: int) -> int:
    """Return the largest number of lines of a cached pair."""
    return h1 + h2


def empty_lines(h1: int, h2: int, pairs: int) -> LineStore:
    """Return an empty store for heads with such hidden layers; memory is used as it is filled."""
    most = most_kept(h1, h2)
    return LineStore(
        np.full(pairs, NOTHING, np.int64),
        np.full(pairs, NOTHING, np.int64),
        np.zeros(pairs, np.int32),
        np.zeros((pairs, BUCKETS), np.int32),
        *(np.zeros((pairs, most), np.float32) for _ in range(3)),
    )


@inlined()
def evaluate_shared(near, synapses, g, kind, extras, j, weights, count, rule, store, pair, room, values):
    """Set the first `count` of `values` to f of events with silent far neurons and equal scalars.

    Args:
        near: Times of the near neuron's spikes, their number, step, K, and whether it is the pre neuron.
        synapses: Of the events.
        g: Head.
        kind: Of the events.
        extras: Scalars of target neurons, (X, N).
        j: Target neuron of the scalars.
        weights: Of the events.
        count: Their number.
        rule: Front and heads.
        store: Of lines.
        pair: `pair.near` is h.
        room: For lines.
        values: Output.
    """
    low, high = synapses.low, synapses.high
    least, largest = _range(weights, count)
    key = np.int64(NOTHING)
    if least >= low and largest <= high and len(rule.extras) == 0:
        key = _key(near)
    if key == NOTHING:
        low, high = least, largest
    tag = _tag(synapses.connection, g, near[4], False)
    if not _recall(key, tag, weights, count, low, high, store, room, values):
        first_layer(g, pair.near, rule, room.part)
        add_scalars(g, kind, extras, j, rule, room.part)
        _write(key, tag, g, weights, count, low, high, rule, store, room, values)


@inlined()
def can_be_kept(near, far, weight, synapses, rule):
    """Whether both neurons of a pair, given as `near` of `evaluate_shared`, have one spike, so that it will recur."""
    if len(rule.extras) > 0 or weight < synapses.low or weight > synapses.high:
        return False
    for times, count, t, window, _ in (near, far):
        if count != 1 + first_in_window(times, count, t, window) or window >= (1 << AGE_BITS) - 1:
            return False
    return True


@inlined()
def evaluate_kept(near, far, synapses, g, kind, extras, j, weights, rule, store, pair, room, values):
    """Set one value to f of one event of two neurons that have one spike each; arguments as `evaluate_shared`."""
    times, count, t, window, is_pre = far
    low, high = synapses.low, synapses.high
    tag, key = _tag(synapses.connection, g, near[4], True), (_key(near) << AGE_BITS) | _key(far)
    if not _recall(key, tag, weights, 1, low, high, store, room, values):
        add_far(times, count, t, window, is_pre, rule, pair)
        first_layer(g, pair.h, rule, room.part)
        add_scalars(g, kind, extras, j, rule, room.part)
        _write(key, tag, g, weights, 1, low, high, rule, store, room, values)


@inlined()
def _recall(key, tag, weights, count, low, high, store, room, values):
    """Evaluate by cached lines; return whether there are any."""
    place = place_of(key, tag, len(store.keys))
    if key == NOTHING or store.keys[place] != key or store.tags[place] != tag:
        return False
    look_up(
        weights, count, low, _buckets_per_weight(low, high), store.steps[place], store.bucket[place],
        store.knot[place], store.height[place], store.slope[place], room.line, values,
    )  # fmt: skip
    return True


@inlined()
def _write(key, tag, g, weights, count, low, high, rule, store, room, values):
    """Compute lines, evaluate by them, and cache them if they have a key and are not too many."""
    b, per_weight = rule.scalars[g, 0], _buckets_per_weight(low, high)
    lines = write_out(low, high, room.part, b, rule.rows[g], rule.bias[g], rule.last[g], rule.last_bias[g], room)
    steps = fill_buckets(low, per_weight, lines, room.knot, room.bucket)
    look_up(weights, count, low, per_weight, steps, room.bucket, room.knot, room.height, room.slope, room.line, values)
    if key == NOTHING or lines >= store.knot.shape[1]:
        return
    place = place_of(key, tag, len(store.keys))
    store.keys[place], store.tags[place], store.steps[place] = key, tag, steps
    for at in range(BUCKETS):
        store.bucket[place, at] = room.bucket[at]
    for at in range(lines + 1):  # with the knot at infinity
        store.knot[place, at] = room.knot[at]
        store.height[place, at] = room.height[at]
        store.slope[place, at] = room.slope[at]


@inlined()
def _buckets_per_weight(low, high):
    return np.float32(BUCKETS) / (high - low) if high > low else np.float32(0.0)


@inlined()
def _tag(c, g, near_is_pre, both_fired):
    return ((g * 65536 + c) * 2 + near_is_pre) * 2 + both_fired


@inlined(fast_sums=True)
def _range(weights, count):
    least, largest = weights[0], weights[0]
    for k in range(count):
        least = min(least, weights[k])
        largest = max(largest, weights[k])
    return least, largest


@inlined()
def _key(near):
    """Return the ages of a neuron's spikes in one number, if they are few enough, else `NOTHING`."""
    times, count, t, window, _ = near
    at = first_in_window(times, count, t, window)
    if count - at > KEPT_SPIKES or window >= (1 << AGE_BITS) - 1:
        return np.int64(NOTHING)
    key = np.int64(0)
    for place in range(at, count):
        key = (key << AGE_BITS) | (t - times[place] + 1)
    return key


@inlined()
def place_of(key, tag, num_places):
    """Return the index of a key and a tag: the highest bits of a product, to which all bits contribute."""
    return (((key ^ (tag << 44)) * GOLDEN) >> 40) % num_places
