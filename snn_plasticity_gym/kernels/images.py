"""Compiled physics and plasticity of lifetimes that live by a rule in closed form.

What `Network.advance`, `EventFinder` and `Engine.write` do together, without a list of events: one loop over lifetimes
and steps that touches the rows and columns of the synapses whose neurons spike. The torch code stays the reference that
this is tested against, and the way for every other rule and device; sums run in the same order and precision, so that
both give the same spikes. In a step the rows of pre spikes come first; a synapse whose two neurons fired is answered
there, once. Where the environment holds changes back as eligibility, they are added up in `held` (see `Eligibility`).

All of it stands in one file, since numba's cache looks at the file of the function that is called and no other: after
a change elsewhere old machine code would go on running.

Axes: B lifetimes, T steps, N neurons of all populations one after the other, P populations, C connections.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.tables import (
    Bool,
    ClosedForm,
    Connections,
    Float32,
    Float64,
    Int64,
    Neurons,
    Populations,
)


@compiled()
def advance(
    first: int,
    last: int,
    simulate: bool,
    learn: bool,
    populations: Populations,
    connections: Connections,
    neurons: Neurons,
    weights: Float32,
    raster: Bool,
    rule: ClosedForm,
    pace: Float32,
    held: Float32,
    keep: Float32,
    num_events: Int64,
    changes: Float64,
) -> None:
    """Go through the steps `first` to `last` - 1 of an image, in place.

    Args:
        first: Step to begin with.
        last: Step to end before.
        simulate: Compute the spikes of each step; otherwise they stand in `raster` already.
        learn: Change the weights.
        populations: Constants.
        connections: Constants.
        neurons: State; everything in it but theta is at rest before step 0.
        weights: Of all synapses of all lifetimes.
        raster: Spikes, (B, T, N), those of the inputs given.
        rule: Coefficients.
        pace: Share of the learning rates that the age of each lifetime leaves, (B,).
        held: Eligibility, one per weight, to which changes are added; without entries, they change the weights.
        keep: Share of a change of each step that is left of it at the image's end, (T,).
        num_events: Events of the image so far, (B,).
        changes: Number, sum, squares and rises of the weight changes by head, (4, heads); see `WeightChanges`.
    """
    num_lifetimes, _, num_neurons = raster.shape
    fired = np.empty(num_neurons, np.int64)
    sums = np.empty(num_neurons, np.float32)
    currents = np.empty(num_neurons, np.float32)
    counts = np.zeros(len(populations.start), np.int64)
    for b in range(num_lifetimes):
        for t in range(first, last):
            if simulate:
                told = rule.factor_surrogate
                _simulate(b, t, populations, connections, neurons, weights, raster, sums, currents, told)
            if learn:
                _list_spikes(b, t, populations, raster, fired, counts)
                _decay_traces(b, rule, neurons)
                constants = (populations, connections, rule)
                num_events[b] += _learn_step(
                    b, t, constants, neurons, weights, raster, pace[b], held, keep[t], fired, counts, sums, changes
                )
                _count_spikes(b, rule, neurons, populations, fired, counts)


@compiled()
def _simulate(b, t, populations, connections, neurons, weights, raster, sums, currents, told):
    """Compute the spikes of step `t` of lifetime `b`, population after population, and surrogates if `told`."""
    for p in range(len(populations.start)):
        if not populations.computed[p]:
            continue
        start, size = populations.start[p], populations.size[p]
        for k in range(size):
            currents[k] = 0.0
        for c in range(len(connections.source)):
            if connections.target[c] == p:
                _propagate(b, t, c, populations, connections, weights, raster, sums, currents)
        _fire(b, t, p, start, size, populations, neurons, raster, currents, told)


@compiled()
def _propagate(b, t, c, populations, connections, weights, raster, sums, currents):
    """Add to `currents` what connection `c` carries in step `t`."""
    source, target = connections.source[c], connections.target[c]
    n_pre, n_post = populations.size[source], populations.size[target]
    start = populations.start[source]
    when = t - 1 if connections.recurrent[c] else t
    if when < 0:
        return
    gain = connections.gain[c]
    if connections.one_to_one[c]:
        for i in range(n_pre):
            if raster[b, when, start + i]:
                currents[i] += gain
        return
    any_spike = False
    base = connections.offset[c] + b * n_pre * n_post
    for i in range(n_pre):
        if raster[b, when, start + i]:
            row = weights[base + i * n_post : base + (i + 1) * n_post]
            if any_spike:
                for j in range(n_post):
                    sums[j] += row[j]
            else:
                for j in range(n_post):
                    sums[j] = row[j]
                any_spike = True
    if any_spike:
        for j in range(n_post):
            currents[j] += gain * sums[j]


@compiled()
def _fire(b, t, p, start, size, populations, neurons, raster, currents, told):
    """Integrate, compare with the threshold, reset: `lif_step`, in its order of operations.

    Where `told`, note the surrogate of each neuron before the reset, as `local_scalars.surrogate` has it.
    """
    leak, rest, reset = populations.leak[p], populations.v_rest[p], populations.v_reset[p]
    threshold, lowest, resistance = populations.v_th[p], populations.v_min[p], populations.resistance[p]
    silent, plus, decay = populations.silent_steps[p], populations.theta_plus[p], populations.theta_decay[p]
    best, furthest = np.float32(0.0), -1
    for k in range(size):
        n = start + k
        drive = resistance * (currents[k] + neurons.current[b, n])
        resting = neurons.refractory[b, n] > 0
        if resting:
            drive = np.float32(0.0)
        v = neurons.v[b, n]
        v = max(v + leak * (rest - v + drive), lowest)
        excess = v - threshold - neurons.theta[b, n]
        if told:
            lacks = (threshold + neurons.theta[b, n] - v) / populations.distance[p]
            slope = np.float32(1.0) + np.float32(2.0) * abs(lacks)
            neurons.surrogate[b, n] = np.float32(1.0) / (slope * slope)
        spike = excess > 0 and not resting
        if spike and populations.one_spike[p]:
            if furthest < 0 or excess > best:
                best, furthest = excess, n
            spike = False
        raster[b, t, n] = spike
        neurons.v[b, n] = reset if spike else v
        if silent > 0:
            neurons.refractory[b, n] = (
                silent if spike else max(neurons.refractory[b, n] - np.float32(1.0), np.float32(0.0))
            )
        if plus > 0:
            neurons.theta[b, n] = neurons.theta[b, n] * decay + (plus if spike else np.float32(0.0))
    if furthest >= 0:
        raster[b, t, furthest] = True
        neurons.v[b, furthest] = reset
        if silent > 0:
            neurons.refractory[b, furthest] = silent
        if plus > 0:
            neurons.theta[b, furthest] += plus


@compiled()
def _list_spikes(b, t, populations, raster, fired, counts):
    """List who fired in step `t`: neurons of population p stand in `fired` from start[p] on, counts[p] of them."""
    for p in range(len(populations.start)):
        start, count = populations.start[p], 0
        for k in range(populations.size[p]):
            if raster[b, t, start + k]:
                fired[start + count] = k
                count += 1
        counts[p] = count


@compiled()
def _decay_traces(b, rule, neurons):
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
def _count_spikes(b, rule, neurons, populations, fired, counts):
    """Add the spikes of now to the traces."""
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(counts[p]):
            n = start + fired[start + place]
            for trace in (neurons.pre_fast, neurons.pre_slow, neurons.post_fast, neurons.post_slow):
                trace[b, n] = 1.0 if rule.nearest else trace[b, n] + 1.0


@compiled()
def _learn_step(b, t, constants, neurons, weights, raster, pace, held, keep, fired, counts, scratch, changes):
    """Answer the events of step `t` of lifetime `b`; return how many there are."""
    populations, connections, rule = constants
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
        limits = (connections.scale[c] * pace, connections.low[c], connections.high[c])
        hold = (len(held) > 0, keep)
        pre_fired, post_fired = fired[pre : pre + num_pre], fired[post : post + num_post]
        sources, targets = slice(pre, pre + n_pre), slice(post, post + n_post)
        moved = (0.0, 0.0, 0)
        if rule.signed:
            told = neurons.factor[b, targets]
            if rule.factor_trace or rule.factor_surrogate or rule.factor_at_post or loops:
                before = (pre_fired, raster[b, t, sources], neurons.pre_fast[b, sources])
                after = (post_fired, told, neurons.surrogate[b, targets])
                moved = _follow_product(before, after, matrix, store, hold, rule, loops, limits, scratch)
            elif num_pre:
                moved = _follow_factor(pre_fired, told, matrix, store, hold, rule, limits, scratch)
        elif (at_pre and num_pre) or (at_post and num_post):
            before = (pre_fired, raster[b, t, sources], neurons.pre_fast[b, sources], neurons.pre_slow[b, sources])
            traces = (neurons.post_fast[b, targets], neurons.post_slow[b, targets], neurons.threshold[b, targets])
            after = (post_fired, raster[b, t, targets], traces)
            what = (at_pre, at_post, loops)
            moved = _follow_traces(before, after, matrix, store, hold, rule, what, limits)
        changes[1, head] += moved[0]
        changes[2, head] += moved[1]
        changes[3, head] += moved[2]
    return events


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@compiled(fast_sums=True)
def _follow_factor(pre_fired, factor, matrix, store, hold, rule, limits, steps):
    """Pre spikes of a rule that follows a third factor; return sum, squares and rises of the changes."""
    scale, low, high = limits
    n_post = matrix.shape[1]
    for j in range(n_post):
        steps[j] = scale * np.float32(min(max(rule.g * factor[j] / rule.scale, -1.0), 1.0))
    total, squares, rises = np.float32(0.0), np.float32(0.0), 0
    for i in pre_fired:
        if hold[0]:
            for j in range(n_post):
                store[i, j] += hold[1] * steps[j]
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


@compiled(fast_sums=True)
def _follow_product(sources, targets, matrix, store, hold, rule, loops, limits, told):
    """Spikes of a rule that follows factor, pre trace and surrogate; return sum, squares and rises of the changes."""
    pre_fired, pre_now, pre_fast = sources
    post_fired, factor, surrogate = targets
    n_pre, n_post = matrix.shape
    for j in range(n_post):
        told[j] = surrogate[j] * factor[j] if rule.factor_surrogate else factor[j]
    total, squares, rises = 0.0, 0.0, 0
    for i in pre_fired:
        x = 1.0
        if rule.factor_trace and not rule.nearest:
            x += pre_fast[i]
        drive = np.float32(rule.g) * np.float32(x)
        end = i if loops else n_post  # neuron k to neuron k does not exist
        for first, last in ((0, end), (end + 1, n_post)):
            moved = _move_row(i, first, last, drive, matrix, store, hold, rule, limits, told)
            total += moved[0]
            squares += moved[1]
            rises += moved[2]
    if rule.factor_at_post:
        for j in post_fired:
            for i in range(n_pre):
                x = pre_fast[i] if rule.factor_trace else 1.0
                if pre_now[i] or x == 0.0 or (loops and i == j):
                    continue
                change = np.float32(rule.g) * np.float32(x) * told[j] / rule.scale
                step = limits[0] * np.float32(min(max(change, -1.0), 1.0))
                moved = _move(i, j, step, matrix, store, hold, limits)
                total += moved
                squares += moved * moved
                rises += moved > 0
    return total, squares, rises


@compiled(fast_sums=True)
def _move_row(i, first, last, drive, matrix, store, hold, rule, limits, told):
    """Move the weights `first` to `last` - 1 of pre neuron `i` by `drive` times what their targets are told."""
    scale, low, high = limits
    total, squares, rises = np.float32(0.0), np.float32(0.0), 0
    row, held = matrix[i], store[i]
    for j in range(first, last):
        step = scale * np.float32(min(max(drive * told[j] / rule.scale, -1.0), 1.0))
        if hold[0]:
            held[j] += hold[1] * step
        else:
            before = row[j]
            after = min(max(before + step, low), high)
            row[j] = after
            change = after - before
            total += change
            squares += change * change
            rises += change > 0
    return float(total), float(squares), rises


@compiled()
def _follow_traces(sources, targets, matrix, store, hold, rule, what, limits):
    """Pre and post spikes of a rule of traces; return sum, squares and rises of the changes."""
    pre_fired, pre_now, pre_fast, pre_slow = sources
    post_fired, post_now, (post_fast, post_slow, threshold) = targets
    at_pre, at_post, loops = what
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
            moved = _move(i, j, step, matrix, store, hold, limits)
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
            moved = _move(i, j, step, matrix, store, hold, limits)
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
def _move(i, j, step, matrix, store, hold, limits):
    """Move a weight within its limits, or hold the step back as eligibility; return by how much the weight moved."""
    if hold[0]:
        store[i, j] += hold[1] * step
        return np.float32(0.0)
    before = matrix[i, j]
    moved = min(max(before + step, limits[1]), limits[2]) - before
    matrix[i, j] = before + moved
    return moved
