"""Compiled plasticity: what the spikes of a step do to the weights under a rule in closed form.

The rows of pre spikes come first; a synapse whose two neurons fired is answered there, once. Weights move as
`HandWrittenRule.answer` and `Engine.write` move them, or, where the environment holds changes back as eligibility, the
changes are added up in `held` (see `Engine.write`).
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.compiled import compiled


@compiled()
def list_spikes(b, t, populations, raster, fired, counts):
    """List who fired in step `t`: neurons of population p stand in `fired` from start[p] on, counts[p] of them."""
    for p in range(len(populations.start)):
        start, count = populations.start[p], 0
        for k in range(populations.size[p]):
            if raster[b, t, start + k]:
                fired[start + count] = k
                count += 1
        counts[p] = count


@compiled()
def decay_traces(b, rule, neurons):
    """Age the traces by one step; they then hold strictly earlier spikes."""
    for tau, trace in (
        (rule.tau_pre_fast, neurons.pre_fast),
        (rule.tau_pre_slow, neurons.pre_slow),
        (rule.tau_post_fast, neurons.post_fast),
        (rule.tau_post_slow, neurons.post_slow),
    ):
        if tau > 0:
            trace[b] *= np.exp(-rule.dt / tau)
    if rule.tau_theta > 0:
        keep = np.exp(-rule.dt / rule.tau_theta)
        for n in range(neurons.threshold.shape[1]):
            neurons.threshold[b, n] = keep * neurons.threshold[b, n] + (1.0 - keep) * neurons.post_fast[b, n] ** 2


@compiled()
def count_spikes(b, rule, neurons, populations, fired, counts):
    """Add the spikes of now to the traces."""
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(counts[p]):
            n = start + fired[start + place]
            for trace in (neurons.pre_fast, neurons.pre_slow, neurons.post_fast, neurons.post_slow):
                trace[b, n] = 1.0 if rule.nearest else trace[b, n] + 1.0


@compiled()
def learn_step(
    b, t, populations, connections, neurons, weights, raster, rule, held, keep, fired, counts, scratch, changes
):
    """Answer the events of step `t` of lifetime `b`; return how many there are."""
    at_pre = rule.s != 0 or rule.s_slow != 0 or rule.g != 0
    at_post = rule.p != 0 or rule.p_fast != 0 or rule.p_slow != 0 or rule.p_theta != 0 or rule.q != 0 or rule.r != 0
    events = 0
    for c in range(len(connections.source)):
        if not connections.plastic[c]:
            continue
        source, target = connections.source[c], connections.target[c]
        n_pre, n_post = populations.size[source], populations.size[target]
        pre, post = populations.start[source], populations.start[target]
        num_pre, num_post = counts[source], counts[target]
        loops = not connections.autapses[c]  # neuron k to neuron k does not exist
        both = num_pre * num_post
        if loops:
            for place in range(num_pre):
                both -= raster[b, t, post + fired[pre + place]]
        here = num_pre * (n_post - loops) + num_post * (n_pre - loops) - both
        events += here
        head = connections.head[c]
        if len(held) == 0:
            changes[0, head] += here
        first = connections.offset[c] + b * n_pre * n_post
        matrix = weights[first : first + n_pre * n_post].reshape(n_pre, n_post)
        store = matrix  # without eligibility, of no use
        if len(held):
            store = held[first : first + n_pre * n_post].reshape(n_pre, n_post)
        limits = (connections.scale[c], connections.low[c], connections.high[c])
        moved = (0.0, 0.0, 0)
        if rule.signed and num_pre:
            assert not loops, "third factors are for feed-forward networks"
            moved = _follow_factor(
                fired[pre : pre + num_pre],
                neurons.factor[b, post : post + n_post],
                matrix,
                store,
                keep,
                len(held) > 0,
                rule,
                limits,
                scratch,
            )
        elif (at_pre and num_pre) or (at_post and num_post):
            moved = _follow_traces(
                fired[pre : pre + num_pre],
                fired[post : post + num_post],
                raster[b, t, pre : pre + n_pre],
                raster[b, t, post : post + n_post],
                neurons.pre_fast[b, pre : pre + n_pre],
                neurons.pre_slow[b, pre : pre + n_pre],
                neurons.post_fast[b, post : post + n_post],
                neurons.post_slow[b, post : post + n_post],
                neurons.threshold[b, post : post + n_post],
                matrix,
                store,
                keep,
                len(held) > 0,
                rule,
                at_pre,
                at_post,
                loops,
                limits,
            )
        changes[1, head] += moved[0]
        changes[2, head] += moved[1]
        changes[3, head] += moved[2]
    return events


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@compiled(fast_sums=True)
def _follow_factor(pre_fired, factor, matrix, store, keep, hold, rule, limits, steps):
    """Pre spikes of a rule that follows a third factor; return sum, squares and rises of the changes."""
    scale, low, high = limits
    n_post = matrix.shape[1]
    for j in range(n_post):
        steps[j] = scale * np.float32(min(max(rule.g * factor[j] / rule.scale, -1.0), 1.0))
    total, squares, rises = np.float32(0.0), np.float32(0.0), 0
    for i in pre_fired:
        if hold:
            for j in range(n_post):
                store[i, j] += keep * steps[j]
            continue
        row = matrix[i]
        for j in range(n_post):
            before = row[j]
            after = min(max(before + steps[j], low), high)
            row[j] = after
            change = after - before
            total += change
            squares += change * change
            rises += change > 0
    return float(total), float(squares), rises


@compiled()
def _follow_traces(
    pre_fired,
    post_fired,
    pre_now,
    post_now,
    pre_fast,
    pre_slow,
    post_fast,
    post_slow,
    threshold,
    matrix,
    store,
    keep,
    hold,
    rule,
    at_pre,
    at_post,
    loops,
    limits,
):
    """Pre and post spikes of a rule of traces; return sum, squares and rises of the changes."""
    n_pre = matrix.shape[0]
    total, squares, rises = 0.0, 0.0, 0
    awake = post_fired  # where a pre spike can change something
    if at_pre and len(pre_fired):
        awake = np.nonzero(post_now | (post_fast != 0))[0]
    for i in pre_fired:
        x = pre_fast[i]
        if rule.coincident:
            x = 1.0 if rule.nearest else x + 1.0
        fall = rule.s + rule.s_slow * pre_slow[i]
        for j in awake:
            if loops and i == j:
                continue
            before = matrix[i, j]
            y = post_fast[j]
            drive = 0.0
            if post_now[j] and at_post:
                drive = x * _post_part(rule, y, post_slow[j], threshold[j]) - rule.q - rule.r * y * abs(before)
            step = _step(before, _change(abs(before), drive, fall * y, rule), rule, limits)
            moved = _move(i, j, step, matrix, store, keep, hold, limits)
            total += moved
            squares += moved * moved
            rises += moved > 0
    if not at_post:
        return total, squares, rises
    for j in post_fired:
        y = post_fast[j]
        part = _post_part(rule, y, post_slow[j], threshold[j])
        for i in range(n_pre):
            if pre_now[i] or (loops and i == j):
                continue
            before = matrix[i, j]
            drive = pre_fast[i] * part - rule.q - rule.r * y * abs(before)
            if drive == 0.0:
                continue
            step = _step(before, _change(abs(before), drive, 0.0, rule), rule, limits)
            moved = _move(i, j, step, matrix, store, keep, hold, limits)
            total += moved
            squares += moved * moved
            rises += moved > 0
    return total, squares, rises


@compiled()
def _post_part(rule, fast, slow, threshold):
    """P of the formula."""
    return rule.p + rule.p_fast * fast + rule.p_slow * slow - rule.p_theta * threshold


@compiled()
def _power(base, exponent):
    if exponent == 0.0:
        return 1.0
    return base if exponent == 1.0 else base**exponent


@compiled()
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


@compiled()
def _step(before, change, rule, limits):
    """By how much w shall move for |w| to change so, as `HandWrittenRule.answer` and `Engine.write` have it."""
    change = max(change, min(rule.smallest - abs(before), 0.0))
    if before < 0:
        change = 0.0 if rule.fixed_inhibition else -change
    return limits[0] * np.float32(min(max(change / rule.scale, -1.0), 1.0))


@compiled()
def _move(i, j, step, matrix, store, keep, hold, limits):
    """Move a weight within its limits, or hold the step back as eligibility; return by how much the weight moved."""
    if hold:
        store[i, j] += keep * step
        return np.float32(0.0)
    before = matrix[i, j]
    moved = min(max(before + step, limits[1]), limits[2]) - before
    matrix[i, j] = before + moved
    return moved
