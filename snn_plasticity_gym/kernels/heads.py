"""A head for one pair of histories: an exact piecewise linear function of the weight.

Of a synapse's state only the weight w differs between the events of a pair. With two layers of ReLUs the head's output

    f(w) = d + v . ReLU(c + W2 ReLU(a + b w))

is linear between *kinks*, the weights at which a neuron of either layer switches. The weights of a pair's events span
an interval; walking along it, a kink of the first layer changes slope and intercept of the second by one row of W2, and
between two of them each neuron of the second layer is a straight line that is positive on one side of its zero. So all
kinks are found, with f and its slope there, for about the work of a few events, and each event is then one look-up
instead of a product with W2. Nothing is approximated: only rounding differs from the plain network, and sums are in
double precision here.

Axes: E events, P pairs, H1 and H2 neurons of the two hidden layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.lines import sort_few

Array = NDArray[Any]

WORTH_LINES = 12  # events of a pair from which on computing its lines is faster than evaluating them one by one
BUCKETS = 128  # equal parts of a pair's interval, each with the first line that reaches into it


class HeadArrays(NamedTuple):
    """The layers of one head with two hidden layers, in double precision."""

    scalars: Array  # (S, H1) contribution of each scalar to the first layer; row 0 is b, the weight's
    rows: Array  # (H1, H2) W2 transposed: contribution of each neuron of the first layer to the second
    bias: Array  # (H2,) c
    last: Array  # (H2,) v
    last_bias: float  # d


class HeadEvents(NamedTuple):
    """Events as inputs of heads."""

    pair: Array  # (E,) of histories
    group: Array  # (E,) policy head
    weight: Array  # (E,)
    others: Array  # (E, S - 1) scalars except the weight


class EventsByPair(NamedTuple):
    """Events in the order of their pairs."""

    order: Array  # (E,) events, those of pair 0 first
    starts: Array  # (P + 1,) start of each pair's
    alike: Array  # (P,) bool: all of its events have the same head and the same scalars except the weight


class Lines(NamedTuple):
    """Workspace for the lines of f, (`lines.most_lines`,) each."""

    knot: Array  # weight at which each begins
    height: Array  # f there
    slope: Array


@compiled()
def by_pair(events: HeadEvents, num_pairs: int) -> tuple[Array, Array, Array]:
    """Sort events by pair, of which there are `num_pairs`; returns `EventsByPair`."""
    pair, group, others = events.pair, events.group, events.others
    starts, order = np.zeros(num_pairs + 1, np.int64), np.empty(len(pair), np.int64)
    alike = np.ones(num_pairs, np.bool_)
    for at in range(len(pair)):
        starts[pair[at] + 1] += 1
    for at in range(num_pairs):
        starts[at + 1] += starts[at]
    place = starts[:-1].copy()
    for at in range(len(pair)):
        order[place[pair[at]]] = at
        place[pair[at]] += 1
        first = order[starts[pair[at]]]
        same = group[at] == group[first]
        for column in range(others.shape[1]):
            same &= others[at, column] == others[first, column]
        alike[pair[at]] &= same
    return order, starts, alike


@compiled(fast_sums=True)
def evaluate_lines(
    number: int,
    sorted_events: EventsByPair,
    events: HeadEvents,
    pair_part: Array,
    head: HeadArrays,
    room: Lines,
    output: Array,
) -> Array:
    """Evaluate the events of one head whose pairs have many; return the others of that head.

    Args:
        number: Of the head.
        sorted_events: By pair.
        events: The same, in the original order.
        pair_part: First layer of each pair, without scalars, (P, H1).
        head: Its layers.
        room: For the lines of a pair.
        output: Output: f, (E,).
    """
    order, starts, alike = sorted_events
    group, weight, others = events.group, events.weight, events.others
    scalars, knot, height, slope = head.scalars, room.knot, room.height, room.slope
    h1 = len(head.rows)
    intercept = np.empty(h1)
    bucket = np.empty(BUCKETS + 1, np.int64)
    left, count = np.empty(len(order), np.int64), 0
    for pair in range(len(starts) - 1):
        begin, end = starts[pair], starts[pair + 1]
        if end - begin < WORTH_LINES or not alike[pair]:
            for at in range(begin, end):
                if group[order[at]] == number:
                    left[count] = order[at]
                    count += 1
            continue
        first = order[begin]
        if group[first] != number:
            continue
        low = high = np.float64(weight[first])
        for at in range(begin, end):
            low, high = min(low, np.float64(weight[order[at]])), max(high, np.float64(weight[order[at]]))
        for at in range(h1):
            intercept[at] = pair_part[pair, at]
            for column in range(others.shape[1]):
                intercept[at] += others[first, column] * scalars[column + 1, at]
        lines = write_lines(low, high, intercept, head, room)
        per_weight = BUCKETS / (high - low) if high > low else 0.0
        line = 0
        for at in range(BUCKETS):
            while line + 1 < lines and (knot[line + 1] - low) * per_weight < at:
                line += 1
            bucket[at] = line
        bucket[BUCKETS] = line
        for at in range(begin, end):
            w = np.float64(weight[order[at]])
            line = bucket[min(max(int((w - low) * per_weight), 0), BUCKETS)]
            while line + 1 < lines and knot[line + 1] <= w:
                line += 1
            output[order[at]] = height[line] + slope[line] * (w - knot[line])
    return left[:count].copy()


@compiled(fast_sums=True)
def write_lines(low: float, high: float, a: Array, head: HeadArrays, room: Lines) -> int:
    """Compute the lines of f between the weights `low` and `high`.

    Args:
        low: Smallest weight.
        high: Largest weight.
        a: First layer at weight 0, (H1,).
        head: Its layers; the first row of `scalars` is b, change of the first layer per unit of weight.
        room: Output: the lines.

    Returns:
        The number of lines, at least 1.
    """
    b, rows, bias, last = head.scalars[0], head.rows, head.bias, head.last
    knot, height, slope = room.knot, room.height, room.slope
    h1, h2 = rows.shape
    offset, gain = bias.copy(), np.zeros(h2)  # of the second layer, offset + gain * w
    switches, neurons, count = np.empty(h1), np.empty(h1, np.int64), 0
    for j in range(h1):
        here, there = a[j] + b[j] * low, a[j] + b[j] * high
        if here > 0.0:
            _add_row(offset, gain, rows[j], a[j], b[j])
        if (here > 0.0) != (there > 0.0):
            switches[count], neurons[count] = min(max(-a[j] / b[j], low), high), j
            count += 1
    sort_few(switches, neurons, count)
    side, counted = np.empty(h2), np.empty(h2)  # 1 where a neuron is positive, else -1; v where positive, else 0
    value, rise = head.last_bias, 0.0
    for i in range(h2):
        here = offset[i] + gain[i] * low
        side[i], counted[i] = (1.0, last[i]) if here > 0.0 else (-1.0, 0.0)
        value += counted[i] * here
        rise += counted[i] * gain[i]
    crossing, crossed = np.empty(h2), np.empty(h2, np.int64)
    knot[0], height[0], slope[0] = low, value, rise
    lines = 1
    for step in range(count + 1):
        at, until = knot[lines - 1], switches[step] if step < count else high
        if _wrong_side(offset, gain, side, until) < 0.0:
            number = 0
            for i in range(h2):
                if (offset[i] + gain[i] * until) * side[i] < 0.0:
                    crossing[number], crossed[number] = min(max(-offset[i] / gain[i], at), until), i
                    number += 1
            sort_few(crossing, crossed, number)
            for place in range(number):
                i = crossed[place]
                value += rise * (crossing[place] - knot[lines - 1])
                rise -= side[i] * last[i] * gain[i]
                side[i], counted[i] = -side[i], last[i] - counted[i]
                knot[lines], height[lines], slope[lines] = crossing[place], value, rise
                lines += 1
        if step < count:
            j = neurons[step]
            sign = 1.0 if b[j] > 0.0 else -1.0  # it switches on, or off
            value += rise * (until - knot[lines - 1])
            rise += sign * b[j] * _add_row_counted(offset, gain, rows[j], sign * a[j], sign * b[j], counted)
            knot[lines], height[lines], slope[lines] = until, value, rise
            lines += 1
    return lines


@compiled(fast_sums=True)
def _add_row(offset: Array, gain: Array, row: Array, a: float, b: float) -> None:
    """Add a first-layer neuron's input to the second layer, row * (a + b w)."""
    for i in range(len(row)):
        offset[i] += a * row[i]
        gain[i] += b * row[i]


@compiled(fast_sums=True)
def _add_row_counted(offset: Array, gain: Array, row: Array, a: float, b: float, counted: Array) -> float:
    """Do what `_add_row` does, and return counted . row."""
    total = 0.0
    for i in range(len(row)):
        offset[i] += a * row[i]
        gain[i] += b * row[i]
        total += counted[i] * row[i]
    return total


@compiled(fast_sums=True)
def _wrong_side(offset: Array, gain: Array, side: Array, w: float) -> float:
    """Return 0 if at weight `w` all neurons are on the side given by `side`, else less."""
    total = 0.0
    for i in range(len(side)):
        beyond = (offset[i] + gain[i] * w) * side[i]
        total += beyond if beyond < 0.0 else 0.0
    return total


@compiled(fast_sums=True)
def first_layer(some: Array, events: HeadEvents, pair_part: Array, scalars: Array, hidden: Array) -> None:
    """Fill `hidden` (n, H1) with ReLU(a + b w) of some events (n,); the other arguments as in `evaluate_lines`."""
    pair, weight, others = events.pair, events.weight, events.others
    for number in range(len(some)):
        at = some[number]
        part = pair_part[pair[at]]
        for j in range(hidden.shape[1]):
            hidden[number, j] = part[j] + weight[at] * scalars[0, j]
        for column in range(others.shape[1]):
            for j in range(hidden.shape[1]):
                hidden[number, j] += others[at, column] * scalars[column + 1, j]
        for j in range(hidden.shape[1]):
            hidden[number, j] = max(hidden[number, j], 0.0)


@compiled(fast_sums=True)
def last_layer(some: Array, hidden: Array, head: HeadArrays, output: Array) -> None:
    """Set `output` (E,) of some events to d + v . ReLU(c + hidden), with the second layer's sums (n, H2)."""
    bias, last = head.bias, head.last
    for number in range(len(some)):
        value = head.last_bias
        for i in range(hidden.shape[1]):
            value += last[i] * max(hidden[number, i] + bias[i], 0.0)
        output[some[number]] = value
