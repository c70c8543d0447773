"""Synapses in compiled loops: those of one projection at one step, and how their weights are moved.

What `EventFinder` and `Engine.write` do, for the rows of pre neurons and the columns of post neurons that fire.

Axes: N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int32


class Synapses(NamedTuple):
    """Those of a plastic projection in one lifetime, at one step."""

    t: int  # step
    window: int  # K
    connection: int
    head: int
    source: int  # population
    target: int
    pre: int  # place of its first neuron among N
    post: int
    n_pre: int
    n_post: int
    num_pre: int  # how many pre neurons have events, since they fire
    num_post: int
    merged: bool  # an event is of both kinds where both neurons fire; else it is of the one kind that there is
    loops: bool  # a synapse of neuron k onto neuron k does not exist
    matrix: Float32  # weights, (n_pre, n_post)
    holds: bool  # changes are held back
    held: Float32  # eligibility, (n_pre, n_post); without, the weights
    keep: float  # share of a change of this step that is left of it at the image's end
    scale: float  # weight change of delta_d = 1
    low: float  # smallest weight
    high: float
    changes: Float64  # (4,) number, sum, squares and rises of the changes made
    watched: bool  # a teacher looks at them, by what follows
    fires: Bool  # (n_pre,) pre neurons in this step
    totals: Float64  # (C, 2), as the following of `Trail`
    asked: Float32  # (n_post,)
    rises: Int32  # (n_post,)
    falls: Int32  # (n_post,)


@inlined()
def learns(c, lives, learning, spikes):
    """Whether connection `c` is plastic, and somebody fires whose spikes its synapses answer."""
    connections = lives.connections
    if not connections.plastic[c]:
        return False
    pre, post = spikes.num_now[connections.source[c]], spikes.num_now[connections.target[c]]
    return (learning.at_pre and pre > 0) or (learning.at_post and post > 0)


@inlined()
def count_events(b, c, lives, learning, spikes, shown):
    """Count the events of connection `c` in this step."""
    populations, connections = lives.populations, lives.connections
    source, target = connections.source[c], connections.target[c]
    num_pre = spikes.num_now[source] if learning.at_pre else 0
    num_post = spikes.num_now[target] if learning.at_post else 0
    loops, both = not connections.autapses[c], num_pre * num_post
    if loops and learning.at_pre and learning.at_post:
        pre, post = populations.start[source], populations.start[target]
        for place in range(pre, pre + num_pre):
            both -= spikes.fires[post + spikes.now[place]]
    events = num_pre * (populations.size[target] - loops) + num_post * (populations.size[source] - loops) - both
    shown.num_events[b] += events
    if len(learning.held) == 0:
        shown.changes[b, 0, connections.head[c]] += events
    if len(shown.trail.totals) > 0:
        shown.trail.totals[c, 0] += events


@inlined()
def synapses_of(b, t, c, lives, learning, spikes, shown):
    """Return the synapses of connection `c`, and count their events."""
    populations, connections = lives.populations, lives.connections
    count_events(b, c, lives, learning, spikes, shown)
    source, target = connections.source[c], connections.target[c]
    n_pre, n_post = populations.size[source], populations.size[target]
    pre, post = populations.start[source], populations.start[target]
    num_pre = spikes.num_now[source] if learning.at_pre else 0
    num_post = spikes.num_now[target] if learning.at_post else 0
    loops, merged = not connections.autapses[c], learning.at_pre and learning.at_post
    head, holds = connections.head[c], len(learning.held) > 0
    changes = shown.changes[b, :, head]
    first, last = connections.offset[c] + b * n_pre * n_post, connections.offset[c] + (b + 1) * n_pre * n_post
    matrix = lives.weights[first:last].reshape(n_pre, n_post)
    held = matrix  # without eligibility, of no use
    if holds:
        held = learning.held[first:last].reshape(n_pre, n_post)
    trail = shown.trail
    watched = len(trail.totals) > 0
    row, ends = t if watched else 0, slice(post, post + n_post)
    return Synapses(
        t, learning.window, c, head, source, target, pre, post, n_pre, n_post, num_pre, num_post, merged, loops, matrix,
        holds, held, learning.keep[t], connections.scale[c] * learning.pace[b], connections.low[c], connections.high[c],
        changes, watched, spikes.fires[pre : pre + n_pre], trail.totals, trail.asked[row, ends], trail.rises[row, ends],
        trail.falls[row, ends],
    )  # fmt: skip


@inlined()
def of_both(n, spikes, synapses):
    """Whether an event of a spike at the other end is of both kinds, since `n` fires, too; it then stands in a row."""
    return synapses.merged and spikes.fires[n]


@inlined()
def as_steps(values, count, squashed, scale):
    """Turn answers into the changes that they ask for; `squashed`: delta_d is their tanh."""
    if squashed:
        squash(values, count)
    one = np.float32(1.0)
    for k in range(count):
        value = values[k]
        value = one if value > one else value
        value = -one if value < -one else value
        values[k] = scale * value


@inlined()
def change_row(i, steps, synapses):
    """Move the weights of pre neuron `i` by `steps` (n_post,), or hold these back."""
    n_post = synapses.n_post
    end = i if synapses.loops else n_post
    if synapses.holds:
        _hold(synapses.held[i], steps, 0, end, synapses.keep)
        _hold(synapses.held[i], steps, end + 1, n_post, synapses.keep)
        return
    if synapses.watched:
        _watch_row(steps, 0, end, synapses)
        _watch_row(steps, end + 1, n_post, synapses)
    row, low, high, changes = synapses.matrix[i], synapses.low, synapses.high, synapses.changes
    _move(row[:end], steps[:end], low, high, changes)
    if synapses.loops:
        _move(row[i + 1 :], steps[i + 1 : n_post], low, high, changes)


@inlined()
def take_column(j, spikes, synapses, weights, members, fired_only):
    """List the pre neurons whose events of post neuron `j` stand in no row, and their weights; return their number.

    `fired_only`: only those that have fired in this image.
    """
    count, pre = 0, synapses.pre
    for at in range(spikes.num_ever[synapses.source] if fired_only else synapses.n_pre):
        i = spikes.ever[pre + at] if fired_only else at
        weights[count], members[count] = synapses.matrix[i, j], i
        count += not of_both(pre + i, spikes, synapses) and not (synapses.loops and i == j)
    return count


@inlined()
def change_column(j, weights, members, count, steps, synapses):
    """Move the weights that `take_column` has listed by `steps`, or hold these back."""
    if synapses.holds:
        for k in range(count):
            synapses.held[members[k], j] += synapses.keep * steps[k]
        return
    if synapses.watched:
        for k in range(count):
            _watch(members[k], j, steps[k], synapses)
    _move(weights[:count], steps[:count], synapses.low, synapses.high, synapses.changes)
    for k in range(count):
        synapses.matrix[members[k], j] = weights[k]


@inlined()
def change_part(i, weights, members, count, steps, synapses):
    """Move `weights` from pre neuron `i` to the post neurons `members` by `steps`, or hold these back."""
    if synapses.holds:
        for k in range(count):
            synapses.held[i, members[k]] += synapses.keep * steps[k]
        return
    if synapses.watched:
        for k in range(count):
            _watch(i, members[k], steps[k], synapses)
    row, total, squares, rises = synapses.matrix[i], 0.0, 0.0, 0
    for k in range(count):  # too few for vectors
        before = weights[k]
        after = _clipped(before + steps[k], synapses.low, synapses.high)
        row[members[k]] = after
        change = np.float64(after - before)
        total += change
        squares += change * change
        rises += change > 0
    synapses.changes[1] += total
    synapses.changes[2] += squares
    synapses.changes[3] += rises


@inlined()
def _watch(i, j, step, synapses):
    """Note what is asked of one synapse."""
    synapses.totals[synapses.connection, 1] += np.float64(step) * step
    if synapses.fires[i]:
        synapses.asked[j] += step
        synapses.rises[j] += step > 0.0
        synapses.falls[j] += step < 0.0


@inlined()
def _watch_row(steps, first, last, synapses):
    """Note what is asked of synapses of a pre neuron that fires."""
    squares = 0.0
    for j in range(first, last):
        step = steps[j]
        squares += np.float64(step) * step
        synapses.asked[j] += step
        synapses.rises[j] += step > 0.0
        synapses.falls[j] += step < 0.0
    synapses.totals[synapses.connection, 1] += squares


@inlined()
def _hold(held, steps, first, last, keep):
    for j in range(first, last):
        held[j] += keep * steps[j]


@inlined()
def _clipped(weight, low, high):
    weight = low if weight < low else weight
    return high if weight > high else weight


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@inlined(fast_sums=True)
def _move(weights, steps, low, high, changes):
    """Move weights by `steps` within their limits, and count the changes.

    What is summed in single precision is how changes differ from the first: else where all are alike, their spread
    would be lost in rounding.
    """
    count = len(weights)
    if count == 0:
        return
    first = _clipped(weights[0] + steps[0], low, high) - weights[0]
    total, squares, rises = np.float32(0.0), np.float32(0.0), 0
    for k in range(count):
        before = weights[k]
        after = _clipped(before + steps[k], low, high)
        weights[k] = after
        change = after - before
        rises += change > 0
        beyond = change - first
        total += beyond
        squares += beyond * beyond
    shift = np.float64(first)
    changes[1] += count * shift + total
    changes[2] += count * shift * shift + 2.0 * shift * total + squares
    changes[3] += rises
