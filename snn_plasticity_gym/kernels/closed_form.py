"""Plasticity by a hand-written rule: rows and columns of the synapses whose neurons fire, without a list of events.

As `EventFinder`, the rule and `Engine.write` together, for one step of one lifetime and the formula of
`rules/closed_form.py`. The rows of pre spikes come first; a synapse whose two neurons fired is changed there, once.

Axes: T steps, N neurons of all populations, concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.episode import advance, begin, learning_of, networks_of, record_of
from snn_plasticity_gym.kernels.scalars import surrogate_of, threshold_gap
from snn_plasticity_gym.kernels.simulation import end_image, trace
from snn_plasticity_gym.kernels.synapses import (
    as_steps,
    change_column,
    change_row,
    column_of,
    count_events,
    has_events,
    synapses_of,
)
from snn_plasticity_gym.kernels.tables import Float32, Float64
from snn_plasticity_gym.kernels.trace_rules import Listed, follow_traces, pre_trace, room_for_list


class Decays(NamedTuple):
    """Contribution of a spike of each age to the traces of a rule, (T + 1,) each; age 0 has none."""

    pre_fast: Float64  # x
    pre_slow: Float64  # X
    post_fast: Float64  # y
    post_slow: Float64  # Y


class Traces(NamedTuple):
    """Workspace for values of all neurons in this step, (N,) each; computed where needed."""

    factors: Float32  # third factor, where the rule has one
    steps: Float32  # changes of a row
    pre: Float64  # x
    listed: Listed


def room_for_traces(num_neurons: int) -> Traces:
    """Allocate `Traces`."""
    factors, steps = np.empty((2, num_neurons), np.float32)
    return Traces(factors, steps, np.empty(num_neurons), room_for_list(num_neurons))


@compiled(bare=True)
def show_closed_form(first, last, networks, rule, decays, learning, spikes, room, record):
    """Present M images to the lifetimes `first` to `last` - 1, with a rule in closed form; all in place.

    Args:
        first: First lifetime.
        last: Last lifetime, exclusive.
        networks: Their networks and stimuli; with `learning` and `record` as in `ImageSeries`.
        rule: Coefficients.
        decays: Of its traces.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        room: Workspace for traces.
        record: Output; `changes` is added to.
    """
    for b in range(first, last):
        for m in range(len(record.num_events)):
            shown, paced, kept = networks_of(m, networks), learning_of(m, learning), record_of(m, record)
            begin(b, m, shown, spikes, kept)
            for t in range(kept.raster.shape[1]):
                advance(b, t, shown, spikes, kept)
                learn_closed_form(b, t, shown, rule, decays, paced, spikes, room, kept)
            end_image(b, shown, spikes, kept)


@inlined()
def learn_closed_form(b, t, networks, rule, decays, learning, spikes, room, record):
    """Update weights for the events of step `t` of lifetime `b`."""
    populations, connections, neurons = networks.populations, networks.connections, networks.neurons
    if rule.tau_theta > 0:
        _follow_squares(b, t, populations, neurons, rule, decays, learning.window, spikes)
    at_pre = rule.s != 0 or rule.s_slow != 0 or rule.g != 0
    at_post = rule.p != 0 or rule.p_fast != 0 or rule.p_slow != 0 or rule.p_theta != 0 or rule.q != 0 or rule.r != 0
    for c in range(len(connections.source)):
        if not has_events(c, networks, learning, spikes):
            continue
        source, target = connections.source[c], connections.target[c]
        pre = at_pre and learning.at_pre and spikes.num_now[source] > 0 and spikes.num_ever[target] > 0
        post = at_post and learning.at_post and spikes.num_now[target] > 0
        if not (pre or post or rule.signed):  # nothing changes
            count_events(b, c, networks, learning, spikes, record)
            continue
        synapses = synapses_of(b, t, c, networks, learning, spikes, record)
        if not rule.signed:
            threshold = neurons.threshold[b]
            follow_traces(synapses, spikes, decays, threshold, room.pre, room.listed, rule, at_pre, at_post)
        elif rule.factor_trace or rule.factor_surrogate or rule.factor_at_post or synapses.loops:
            _set_factors(b, synapses, populations, neurons, rule, room)
            _follow_product(synapses, spikes, decays, room, rule)
        elif synapses.num_pre:
            _follow_factor(synapses, spikes, neurons.factor[b], room.steps, rule)


@inlined()
def _follow_squares(b, t, populations, neurons, rule, decays, window, spikes):
    """Update the running mean of y^2; it is 0 in neurons without a spike."""
    keep = np.exp(-rule.dt / rule.tau_theta)
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(start, start + spikes.num_ever[p]):
            n = start + spikes.ever[place]
            y = trace(spikes, n, t, window, decays.post_fast, rule.nearest)
            neurons.threshold[b, n] = keep * neurons.threshold[b, n] + (1.0 - keep) * y**2


@inlined()
def _set_factors(b, synapses, populations, neurons, rule, room):
    """Fill `room.factors` with the factor of each target neuron, times its surrogate where the rule has it."""
    for j in range(synapses.n_post):
        n = synapses.post + j
        room.factors[j] = neurons.factor[b, n]
        if rule.factor_surrogate:
            room.factors[j] *= surrogate_of(threshold_gap(b, n, synapses.target, populations, neurons))


@inlined()
def _follow_factor(synapses, spikes, factor, steps, rule):
    """Changes by pre spikes of a rule with a third factor, (N,)."""
    for j in range(synapses.n_post):
        output = rule.g * factor[synapses.post + j] / rule.scale
        steps[j] = synapses.scale * np.float32(min(max(output, -1.0), 1.0))
    for place in range(synapses.pre, synapses.pre + synapses.num_pre):
        change_row(spikes.now[place], steps, synapses)


@inlined()
def _follow_product(synapses, spikes, decays, room, rule):
    """Changes of a rule of factor, pre trace and surrogate."""
    pre, post, factors, steps = synapses.pre, synapses.post, room.factors, room.steps
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        x = pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
        drive = np.float32(rule.g) * np.float32(x) / np.float32(rule.scale)
        for j in range(synapses.n_post):
            steps[j] = drive * factors[j]
        as_steps(steps, synapses.n_post, False, synapses.scale)
        change_row(i, steps, synapses)
    if not rule.factor_at_post:
        return
    for i in range(synapses.n_pre):
        room.pre[i] = pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
    members, weights = room.listed.members, room.listed.weights
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        count = column_of(j, spikes, synapses, weights, members, rule.factor_trace)
        for k in range(count):
            output = np.float32(rule.g) * np.float32(room.pre[members[k]]) * factors[j] / rule.scale
            steps[k] = synapses.scale * np.float32(min(max(output, -1.0), 1.0))
        change_column(j, weights, members, count, steps, synapses)
