"""Plasticity by a hand-written rule: the rows and columns of the synapses whose neurons fire, without a list of events.

What `EventFinder`, the rule and `Engine.write` do together for one step of one lifetime, for the formula of
`rules/closed_form.py`. The rows of pre spikes come first; a synapse whose two neurons fired is answered there, once.

Axes: T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.simulation import trace
from snn_plasticity_gym.kernels.tables import Float32, Float64


class Decays(NamedTuple):
    """What a spike of each age adds to the traces of a rule, (T + 1,) each; age 0 counts nowhere."""

    pre_fast: Float64  # x
    pre_slow: Float64  # X
    post_fast: Float64  # y
    post_slow: Float64  # Y


class Traces(NamedTuple):
    """Room for traces of all neurons in this step, (N,) each; filled in where they are needed."""

    pre_fast: Float64
    post_fast: Float64
    post_slow: Float64
    told: Float32  # what a rule that follows a third factor is told
    steps: Float32  # changes of a row


@compiled()
def room_for_traces(num_neurons):
    """Return room for `Traces`."""
    return Traces(
        np.empty(num_neurons),
        np.empty(num_neurons),
        np.empty(num_neurons),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )


@compiled(bare=True)
def count_events(loops, pre, n_pre, post, n_post, source, target, spikes):
    """Return the number of synapses whose pre or post neuron fired; `loops`: neuron k to neuron k does not exist."""
    num_pre, num_post = spikes.num_now[source], spikes.num_now[target]
    both = num_pre * num_post
    if loops:
        for place in range(pre, pre + num_pre):
            both -= spikes.fires[post + spikes.now[place]]
    return num_pre * (n_post - loops) + num_post * (n_pre - loops) - both


@compiled(bare=True)
def learn_closed_form(b, t, populations, connections, neurons, weights, rule, decays, learning, spikes, room, shown):
    """Answer the events of step `t` of lifetime `b`."""
    if rule.tau_theta > 0:
        _follow_squares(b, t, populations, neurons, rule, decays, learning.window, spikes)
    at_pre = rule.s != 0 or rule.s_slow != 0 or rule.g != 0
    at_post = rule.p != 0 or rule.p_fast != 0 or rule.p_slow != 0 or rule.p_theta != 0 or rule.q != 0 or rule.r != 0
    holds = len(learning.held) > 0
    for c in range(len(connections.source)):
        if not connections.plastic[c]:
            continue
        source, target = connections.source[c], connections.target[c]
        n_pre, n_post = populations.size[source], populations.size[target]
        pre, post = populations.start[source], populations.start[target]
        num_pre, num_post = spikes.num_now[source], spikes.num_now[target]
        if num_pre == 0 and num_post == 0:
            continue
        loops = not connections.autapses[c]
        events = count_events(loops, pre, n_pre, post, n_post, source, target, spikes)
        shown.num_events[b] += events
        changes = shown.changes[b, :, connections.head[c]]
        if not holds:
            changes[0] += events
        first = connections.offset[c] + b * n_pre * n_post
        matrix = weights[first : first + n_pre * n_post].reshape(n_pre, n_post)
        store = matrix  # without eligibility, of no use
        if holds:
            store = learning.held[first : first + n_pre * n_post].reshape(n_pre, n_post)
        limits = (connections.scale[c] * learning.pace[b], connections.low[c], connections.high[c])
        hold = (holds, learning.keep[t])
        where = (t, learning.window, source, target, pre, post, loops)
        if rule.signed:
            factor = neurons.factor[b, post : post + n_post]
            if rule.factor_trace or rule.factor_surrogate or rule.factor_at_post or loops:
                _tell(b, post, n_post, populations.distance[target], populations.v_th[target], neurons, rule, room)
                _follow_product(where, spikes, decays, room, matrix, store, hold, rule, limits, changes)
            elif num_pre:
                _follow_factor(where, spikes, factor, room.steps, matrix, store, hold, rule, limits, changes)
        elif (at_pre and num_pre) or (at_post and num_post):
            threshold = neurons.threshold[b, post : post + n_post]
            what = (at_pre, at_post)
            _follow_traces(where, spikes, decays, threshold, room, matrix, store, hold, rule, what, limits, changes)


@compiled(bare=True)
def _follow_squares(b, t, populations, neurons, rule, decays, window, spikes):
    """Move the running mean of y^2 on; it is 0 in neurons that have not fired."""
    keep = np.exp(-rule.dt / rule.tau_theta)
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(start, start + spikes.num_ever[p]):
            n = start + spikes.ever[place]
            y = trace(spikes, n, t, window, decays.post_fast, rule.nearest)
            neurons.threshold[b, n] = keep * neurons.threshold[b, n] + (1.0 - keep) * y**2


@compiled(bare=True)
def _tell(b, post, n_post, distance, threshold, neurons, rule, room):
    """Fill `room.told` with the factor of each target neuron, times its surrogate where the rule has it."""
    for j in range(n_post):
        n = post + j
        room.told[j] = neurons.factor[b, n]
        if rule.factor_surrogate:
            lacks = (threshold + neurons.compared[b, n] - neurons.potential[b, n]) / distance
            slope = np.float32(1.0) + np.float32(2.0) * abs(lacks)
            room.told[j] *= np.float32(1.0) / (slope * slope)


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@compiled(fast_sums=True, bare=True)
def _follow_factor(where, spikes, factor, steps, matrix, store, hold, rule, limits, changes):
    """Pre spikes of a rule that follows a third factor."""
    source, pre = where[2], where[4]
    n_post = matrix.shape[1]
    for j in range(n_post):
        steps[j] = limits[0] * np.float32(min(max(rule.g * factor[j] / rule.scale, -1.0), 1.0))
    for place in range(pre, pre + spikes.num_now[source]):
        i = spikes.now[place]
        if hold[0]:
            for j in range(n_post):
                store[i, j] += hold[1] * steps[j]
        else:
            move_row(matrix[i], steps[:n_post], limits[1], limits[2], changes)


@compiled(fast_sums=True, bare=True)
def move_row(row, steps, low, high, changes):
    """Move weights by `steps` within their limits, and count the changes."""
    total, squares, rises = np.float32(0.0), np.float32(0.0), 0
    for j in range(len(row)):
        before = row[j]
        after = before + steps[j]
        after = low if after < low else after
        after = high if after > high else after
        row[j] = after
        change = after - before
        total += change
        squares += change * change
        rises += change > 0
    changes[1] += total
    changes[2] += squares
    changes[3] += rises


@compiled(fast_sums=True, bare=True)
def _follow_product(where, spikes, decays, room, matrix, store, hold, rule, limits, changes):
    """Spikes of a rule that follows factor, pre trace and surrogate."""
    t, window, source, target, pre, post, loops = where
    n_pre, n_post = matrix.shape
    told, steps = room.told, room.steps
    for place in range(pre, pre + spikes.num_now[source]):
        i = spikes.now[place]
        x = 1.0
        if rule.factor_trace and not rule.nearest:
            x += trace(spikes, pre + i, t, window, decays.pre_fast, False)
        drive = np.float32(rule.g) * np.float32(x) / np.float32(rule.scale)
        for j in range(n_post):
            step = drive * told[j]
            step = np.float32(-1.0) if step < np.float32(-1.0) else step
            steps[j] = limits[0] * (np.float32(1.0) if step > np.float32(1.0) else step)
        if loops:
            steps[i] = 0.0
        if hold[0]:
            for j in range(n_post):
                store[i, j] += hold[1] * steps[j]
        else:
            move_row(matrix[i], steps[:n_post], limits[1], limits[2], changes)
    if rule.factor_at_post:
        for i in range(n_pre):
            room.pre_fast[i] = 1.0
            if rule.factor_trace:
                room.pre_fast[i] = trace(spikes, pre + i, t, window, decays.pre_fast, rule.nearest)
        for place in range(post, post + spikes.num_now[target]):
            j = spikes.now[place]
            for i in range(n_pre):
                x = room.pre_fast[i]
                if spikes.fires[pre + i] or x == 0.0 or (loops and i == j):
                    continue
                change = np.float32(rule.g) * np.float32(x) * told[j] / rule.scale
                step = limits[0] * np.float32(min(max(change, -1.0), 1.0))
                move(i, j, step, matrix, store, hold, limits, changes)


@compiled(bare=True)
def _follow_traces(where, spikes, decays, threshold, room, matrix, store, hold, rule, what, limits, changes):
    """Pre and post spikes of a rule of traces."""
    t, window, source, target, pre, post, loops = where
    at_pre, at_post = what
    n_pre = matrix.shape[0]
    for place in range(post, post + spikes.num_ever[target]):  # elsewhere a pre spike changes nothing
        j = spikes.ever[place]
        room.post_fast[j] = trace(spikes, post + j, t, window, decays.post_fast, rule.nearest)
        room.post_slow[j] = trace(spikes, post + j, t, window, decays.post_slow, rule.nearest)
    for place in range(pre, pre + spikes.num_now[source]):
        i = spikes.now[place]
        x = trace(spikes, pre + i, t, window, decays.pre_fast, rule.nearest)
        if rule.coincident:
            x = 1.0 if rule.nearest else x + 1.0
        fall = rule.s
        if rule.s_slow != 0:
            fall += rule.s_slow * trace(spikes, pre + i, t, window, decays.pre_slow, rule.nearest)
        for at in range(post, post + spikes.num_ever[target]):
            j = spikes.ever[at]
            if loops and i == j:
                continue
            before = matrix[i, j]
            y = room.post_fast[j]
            drive = 0.0
            if at_post and spikes.fires[post + j]:
                drive = x * _post_part(rule, y, room.post_slow[j], threshold[j]) - rule.q - rule.r * y * abs(before)
            elif not at_pre:
                continue
            step = _step(before, _change(abs(before), drive, fall * y, rule), rule, limits)
            move(i, j, step, matrix, store, hold, limits, changes)
    if not at_post or spikes.num_now[target] == 0:
        return
    for i in range(n_pre):
        room.pre_fast[i] = trace(spikes, pre + i, t, window, decays.pre_fast, rule.nearest)
    for place in range(post, post + spikes.num_now[target]):
        j = spikes.now[place]
        y = room.post_fast[j]
        part = _post_part(rule, y, room.post_slow[j], threshold[j])
        for i in range(n_pre):
            if spikes.fires[pre + i] or (loops and i == j):
                continue
            before = matrix[i, j]
            drive = room.pre_fast[i] * part - rule.q - rule.r * y * abs(before)
            if drive == 0.0:
                continue
            step = _step(before, _change(abs(before), drive, 0.0, rule), rule, limits)
            move(i, j, step, matrix, store, hold, limits, changes)


@compiled(bare=True)
def _post_part(rule, fast, slow, threshold):
    """P of the formula."""
    return rule.p + rule.p_fast * fast + rule.p_slow * slow - rule.p_theta * threshold


@compiled(bare=True)
def _power(base, exponent):
    if exponent == 0.0:
        return 1.0
    return base if exponent == 1.0 else base**exponent


@compiled(bare=True)
def _change(strength, drive, fall, rule):
    """By how much |w| changes, post spike first; see `ClosedForm`."""
    if not rule.bounded:
        return drive
    u = strength / rule.w_max
    room = max(1.0 - u, 0.0)
    up = 0.0
    if drive != 0.0:
        shape = _power(u, rule.mu_minus) if rule.soft and drive < 0.0 else _power(room, rule.mu_plus)
        up = min(drive * shape, room)
    down = 0.0
    if fall > 0.0:
        raised = u + up
        down = min(_power(raised, rule.mu_minus) * fall, raised)
    return rule.w_max * (up - down)


@compiled(bare=True)
def _step(before, change, rule, limits):
    """By how much w shall move for |w| to change so, as `HandWrittenRule.answer` and `Engine.write` have it."""
    change = max(change, min(rule.smallest - abs(before), 0.0))
    if before < 0:
        change = 0.0 if rule.fixed_inhibition else -change
    return limits[0] * np.float32(min(max(change / rule.scale, -1.0), 1.0))


@compiled(bare=True)
def move(i, j, step, matrix, store, hold, limits, changes):
    """Move a weight within its limits and count the change, or hold the step back as eligibility."""
    if hold[0]:
        store[i, j] += hold[1] * step
        return
    before = matrix[i, j]
    moved = min(max(before + step, limits[1]), limits[2]) - before
    matrix[i, j] = before + moved
    changes[1] += moved
    changes[2] += moved * moved
    changes[3] += moved > 0
