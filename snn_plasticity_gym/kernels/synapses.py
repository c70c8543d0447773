"""Synapses in compiled loops: those of one projection at one step, and their weight updates.

As `EventFinder` and `Engine.write`, for the rows of pre neurons and the columns of post neurons that fire.

Axes: N neurons of all populations, concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.squash import squash
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int32


class Synapses(NamedTuple):
    """Synapses of a plastic projection in one lifetime, at one step."""

    t: int  # step
    window: int  # K
    connection: int
    head: int
    source: int  # population
    target: int
    pre: int  # index of its first neuron among N
    post: int
    n_pre: int
    n_post: int
    num_pre: int  # number of spiking pre neurons, if pre spikes are events
    num_post: int
    merged: bool  # an event is of both kinds where both neurons fire; else there is one kind only
    loops: bool  # a synapse of neuron k onto neuron k does not exist
    matrix: Float32  # weights, (n_pre, n_post)
    uses_eligibility: bool  # changes are added to eligibility
    eligibility: Float32  # eligibility, (n_pre, n_post); without, the weights
    keep: float  # remaining share of a change of this step at the image's end
    scale: float  # weight change of delta_d = 1
    low: float  # smallest weight
    high: float
    changes: Float64  # (4,) number, sum, squares and rises of the changes made
    recorded: bool  # changes are recorded for gradient teaching in the following
    fires: Bool  # (n_pre,) pre neurons in this step
    totals: Float64  # (C, 2), as the following; see `Trail`
    requested: Float32  # (n_post,)
    rises: Int32  # (n_post,)
    falls: Int32  # (n_post,)


@inlined()
def has_events(c, networks, learning, spikes):
    """Whether connection `c` is plastic, and has events in this step."""
    connections = networks.connections
    if not connections.plastic[c]:
        return False
    pre, post = spikes.num_now[connections.source[c]], spikes.num_now[connections.target[c]]
    return (learning.at_pre and pre > 0) or (learning.at_post and post > 0)


@inlined()
def count_events(b, c, networks, learning, spikes, record):
    """Count the events of connection `c` in this step."""
    populations, connections = networks.populations, networks.connections
    source, target = connections.source[c], connections.target[c]
    num_pre = spikes.num_now[source] if learning.at_pre else 0
    num_post = spikes.num_now[target] if learning.at_post else 0
    loops, both = not connections.autapses[c], num_pre * num_post
    if loops and learning.at_pre and learning.at_post:
        pre, post = populations.start[source], populations.start[target]
        for place in range(pre, pre + num_pre):
            both -= spikes.fires[post + spikes.now[place]]
    events = num_pre * (populations.size[target] - loops) + num_post * (populations.size[source] - loops) - both
    record.num_events[b] += events
    if len(learning.eligibility) == 0:
        record.changes[b, 0, connections.head[c]] += events
    if len(record.trail.totals) > 0:
        record.trail.totals[c, 0] += events


@inlined()
def synapses_of(b, t, c, networks, learning, spikes, record):
    """Return the synapses of connection `c`, and count their events."""
    populations, connections = networks.populations, networks.connections
    count_events(b, c, networks, learning, spikes, record)
    source, target = connections.source[c], connections.target[c]
    n_pre, n_post = populations.size[source], populations.size[target]
    pre, post = populations.start[source], populations.start[target]
    num_pre = spikes.num_now[source] if learning.at_pre else 0
    num_post = spikes.num_now[target] if learning.at_post else 0
    loops, merged = not connections.autapses[c], learning.at_pre and learning.at_post
    head, uses_eligibility = connections.head[c], len(learning.eligibility) > 0
    changes = record.changes[b, :, head]
    first, last = connections.offset[c] + b * n_pre * n_post, connections.offset[c] + (b + 1) * n_pre * n_post
    matrix = networks.weights[first:last].reshape(n_pre, n_post)
    eligibility = matrix  # without eligibility, unused
    if uses_eligibility:
        eligibility = learning.eligibility[first:last].reshape(n_pre, n_post)
    trail = record.trail
    recorded = len(trail.totals) > 0
    row, ends = t if recorded else 0, slice(post, post + n_post)
    return Synapses(
        t, learning.window, c, head, source, target, pre, post, n_pre, n_post, num_pre, num_post, merged, loops, matrix,
        uses_eligibility, eligibility, learning.keep[t], connections.scale[c] * learning.pace[b], connections.low[c],
        connections.high[c], changes, recorded, spikes.fires[pre : pre + n_pre], trail.totals,
        trail.requested[row, ends], trail.rises[row, ends], trail.falls[row, ends],
    )  # fmt: skip


@inlined()
def of_both(n, spikes, synapses):
    """Whether an event of a spike at the other end is of both kinds, since `n` fires, too; it is then in a row."""
    return synapses.merged and spikes.fires[n]


@inlined()
def as_steps(values, count, squashed, scale):
    """Convert outputs of a rule to weight changes; `squashed`: delta_d is their tanh."""
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
    """Change the weights of pre neuron `i` by `steps` (n_post,), or add these to eligibility."""
    n_post = synapses.n_post
    end = i if synapses.loops else n_post
    if synapses.uses_eligibility:
        _add_to_eligibility(synapses.eligibility[i], steps, 0, end, synapses.keep)
        _add_to_eligibility(synapses.eligibility[i], steps, end + 1, n_post, synapses.keep)
        return
    if synapses.recorded:
        _record_row(steps, 0, end, synapses)
        _record_row(steps, end + 1, n_post, synapses)
    row, low, high, changes = synapses.matrix[i], synapses.low, synapses.high, synapses.changes
    _change_weights(row[:end], steps[:end], low, high, changes)
    if synapses.loops:
        _change_weights(row[i + 1 :], steps[i + 1 : n_post], low, high, changes)


@inlined()
def column_of(j, spikes, synapses, weights, members, fired_only):
    """List the pre neurons whose events of post neuron `j` are in no row, and their weights; return their number.

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
    """Change the weights listed by `column_of` by `steps`, or add these to eligibility."""
    if synapses.uses_eligibility:
        for k in range(count):
            synapses.eligibility[members[k], j] += synapses.keep * steps[k]
        return
    if synapses.recorded:
        for k in range(count):
            _record_change(members[k], j, steps[k], synapses)
    _change_weights(weights[:count], steps[:count], synapses.low, synapses.high, synapses.changes)
    for k in range(count):
        synapses.matrix[members[k], j] = weights[k]


@inlined()
def change_part(i, weights, members, count, steps, synapses):
    """Change `weights` from pre neuron `i` to the post neurons `members` by `steps`, or add these to eligibility."""
    if synapses.uses_eligibility:
        for k in range(count):
            synapses.eligibility[i, members[k]] += synapses.keep * steps[k]
        return
    if synapses.recorded:
        for k in range(count):
            _record_change(i, members[k], steps[k], synapses)
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
def _record_change(i, j, step, synapses):
    """Record the requested change of one synapse."""
    synapses.totals[synapses.connection, 1] += np.float64(step) * step
    if synapses.fires[i]:
        synapses.requested[j] += step
        synapses.rises[j] += step > 0.0
        synapses.falls[j] += step < 0.0


@inlined()
def _record_row(steps, first, last, synapses):
    """Record the requested changes of a spiking pre neuron's synapses."""
    squares = 0.0
    for j in range(first, last):
        step = steps[j]
        squares += np.float64(step) * step
        synapses.requested[j] += step
        synapses.rises[j] += step > 0.0
        synapses.falls[j] += step < 0.0
    synapses.totals[synapses.connection, 1] += squares


@inlined()
def _add_to_eligibility(eligibility, steps, first, last, keep):
    for j in range(first, last):
        eligibility[j] += keep * steps[j]


@inlined()
def _clipped(weight, low, high):
    weight = low if weight < low else weight
    return high if weight > high else weight


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@inlined(fast_sums=True)
def _change_weights(weights, steps, low, high, changes):
    """Change weights by `steps` within their limits, and sum the changes.

    Sums in single precision are of differences from the first change: else, where all are equal, their spread would
    be lost in rounding.
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
