"""Rules of traces and the weight: the synapses of a spiking neuron are listed, and changed together.

A neuron without a spike in this image has no trace. So the list of a pre neuron has the post neurons with a spike,
which are few, and that of a post neuron, where its rule needs the trace, the pre neurons with a spike. These are many:
they are processed in loops without a branch, which become vector instructions.

Axes: T steps, N neurons of all populations, concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.powers import powers
from snn_plasticity_gym.kernels.simulation import trace
from snn_plasticity_gym.kernels.synapses import change_column, change_part, column_of
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int64


class Listed(NamedTuple):
    """Workspace for the synapses of one neuron, (N,) each, and for values of post neurons that have fired."""

    members: Int64  # neurons at the other end
    weights: Float32
    steps: Float32  # changes
    drive: Float64  # d of the formula; then the change of |w|
    left: Float64  # 1 - u
    used: Float64  # u
    shape: Float64  # powers of these
    soft: Float64
    fast: Float64  # y, by neuron
    part: Float64  # P, by neuron, if it has a post event now
    fires: Bool  # by neuron, whether it has one


def room_for_list(num_neurons: int) -> Listed:
    """Allocate `Listed`."""
    numbers = {name: np.empty(num_neurons) for name in Listed._fields[3:-1]}
    weights, steps = np.empty((2, num_neurons), np.float32)
    members, fires = np.empty(num_neurons, np.int64), np.empty(num_neurons, np.bool_)
    return Listed(members=members, weights=weights, steps=steps, fires=fires, **numbers)


@inlined()
def pre_trace(n, spikes, synapses, decays, rule, counts_now):
    """Return the trace of pre neuron `n`, with or without its present spike."""
    x = trace(spikes, n, synapses.t, synapses.window, decays.pre_fast, rule.nearest)
    if counts_now and spikes.fires[n]:
        return 1.0 if rule.nearest else x + 1.0
    return x


@inlined()
def follow_traces(synapses, spikes, decays, threshold, traces, listed, rule, at_pre, at_post):
    """Update weights for the events of a projection in this step.

    Args:
        synapses: Of the projection.
        spikes: Of the image.
        decays: Of the traces.
        threshold: theta of the formula, (N,).
        traces: Workspace for those of pre neurons, (N,).
        listed: Workspace for synapses.
        rule: Coefficients.
        at_pre: Whether pre spikes are events.
        at_post: Whether post spikes are.
    """
    pre, post = synapses.pre, synapses.post
    targets = spikes.ever if at_pre else spikes.now  # post neurons with a synapse that a pre spike can change
    number = spikes.num_ever[synapses.target] if at_pre else spikes.num_now[synapses.target]
    candidates = targets[post : post + number]
    for at in range(number):
        _prepare_post(candidates[at], synapses, spikes, decays, threshold, listed, rule, at_post)
    _update_rows(candidates, synapses, spikes, decays, listed, rule)
    if not at_post or synapses.num_post == 0:
        return
    traces[: synapses.n_pre] = 0.0
    for place in range(pre, pre + spikes.num_ever[synapses.source]):
        i = spikes.ever[place]
        traces[i] = pre_trace(pre + i, spikes, synapses, decays, rule, rule.coincident)
    for place in range(post, post + synapses.num_post):
        _update_column(spikes.now[place], synapses, spikes, traces, listed, rule)


@inlined()
def _prepare_post(j, synapses, spikes, decays, threshold, listed, rule, at_post):
    """Compute the values of post neuron `j`."""
    n = synapses.post + j
    y = listed.fast[j] = trace(spikes, n, synapses.t, synapses.window, decays.post_fast, rule.nearest)
    listed.fires[j] = at_post and spikes.fires[n]
    if listed.fires[j]:
        slow = 0.0
        if rule.p_slow != 0.0:
            slow = trace(spikes, n, synapses.t, synapses.window, decays.post_slow, rule.nearest)
        listed.part[j] = rule.p + rule.p_fast * y + rule.p_slow * slow - rule.p_theta * threshold[n]


@inlined()
def _update_rows(candidates, synapses, spikes, decays, listed, rule):
    """Update weights for pre spikes, and simultaneous post spikes, at synapses onto the post neurons `candidates`."""
    pre, loops, scale = synapses.pre, synapses.loops, synapses.scale
    rises = synapses.merged and synapses.num_post > 0
    weights, members, steps = listed.weights, listed.members, listed.steps
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        row, count, fall, x = synapses.matrix[i], 0, rule.s, 0.0
        if rule.s_slow != 0.0:
            fall += rule.s_slow * trace(spikes, pre + i, synapses.t, synapses.window, decays.pre_slow, rule.nearest)
        if rises:
            x = pre_trace(pre + i, spikes, synapses, decays, rule, rule.coincident)
        for at in range(len(candidates)):
            j = candidates[at]
            if loops and i == j:
                continue
            y, strength, drive = listed.fast[j], abs(row[j]), 0.0
            if rises and listed.fires[j]:
                drive = x * listed.part[j] - rule.q - rule.r * y * strength
            members[count], weights[count] = j, row[j]
            steps[count] = _step(row[j], _change(strength, drive, fall * y, rule), rule, scale)
            count += 1
        change_part(i, weights, members, count, steps, synapses)


@inlined()
def _update_column(j, synapses, spikes, traces, listed, rule):
    """Update weights for a post spike of neuron `j`, of synapses whose pre neurons do not fire now."""
    weights, members, drive = listed.weights, listed.members, listed.drive
    needs_trace = rule.q == 0.0 and rule.r == 0.0
    count = column_of(j, spikes, synapses, weights, members, needs_trace)
    part, loss = listed.part[j], rule.r * listed.fast[j]
    for k in range(count):
        drive[k] = traces[members[k]] * part - rule.q - loss * abs(weights[k])
    if rule.bounded:
        _bound(count, listed, rule)
    for k in range(count):
        listed.steps[k] = _step(weights[k], drive[k], rule, synapses.scale)
    change_column(j, weights, members, count, listed.steps, synapses)


@inlined()
def _bound(count, listed, rule):
    """Convert drives to changes of |w|: `_change` for many, without depression."""
    drive, left, used, shape, soft = listed.drive, listed.left, listed.used, listed.shape, listed.soft
    for k in range(count):
        used[k] = abs(listed.weights[k]) / rule.w_max
        left[k] = max(1.0 - used[k], 0.0)
    powers(left, rule.mu_plus, shape, count)
    if rule.soft:
        powers(used, rule.mu_minus, soft, count)
        for k in range(count):
            shape[k] = soft[k] if drive[k] < 0.0 else shape[k]
    for k in range(count):
        drive[k] = rule.w_max * min(drive[k] * shape[k], left[k])


@inlined()
def _change(strength, drive, fall, rule):
    """Return the change of |w|, post spike first; see `ClosedForm`."""
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


@inlined()
def _power(base, exponent):
    if exponent == 0.0:
        return 1.0
    return base if exponent == 1.0 else base**exponent


@inlined()
def _step(before, change, rule, scale):
    """Return the change of w for a change of |w|, as `HandWrittenRule.answer` and `Engine.write` have it."""
    change = max(change, min(rule.smallest - abs(before), 0.0))
    if before < 0:
        change = 0.0 if rule.fixed_inhibition else -change
    return scale * np.float32(min(max(change / rule.scale, -1.0), 1.0))
