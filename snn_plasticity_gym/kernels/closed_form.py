"""Plasticity by a hand-written rule: the rows and columns of the synapses whose neurons fire, without a list of events.

What `EventFinder`, the rule and `Engine.write` do together for one step of one lifetime, for the formula of
`rules/closed_form.py`. The rows of pre spikes come first; a synapse whose two neurons fired is answered there, once.

Axes: T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.kernels.episode import advance, begin
from snn_plasticity_gym.kernels.scalars import lacks_of, surrogate_of
from snn_plasticity_gym.kernels.simulation import end_image, trace
from snn_plasticity_gym.kernels.synapses import (
    as_steps,
    change_column,
    change_row,
    count_events,
    learns,
    synapses_of,
    take_column,
)
from snn_plasticity_gym.kernels.tables import Float32, Float64
from snn_plasticity_gym.kernels.trace_rules import Listed, follow_traces, pre_trace, room_for_list


class Decays(NamedTuple):
    """What a spike of each age adds to the traces of a rule, (T + 1,) each; age 0 counts nowhere."""

    pre_fast: Float64  # x
    pre_slow: Float64  # X
    post_fast: Float64  # y
    post_slow: Float64  # Y


class Traces(NamedTuple):
    """Room for what is known of all neurons in this step, (N,) each; filled in where it is needed."""

    told: Float32  # what a rule that follows a third factor is told
    steps: Float32  # changes of a row
    pre: Float64  # x
    listed: Listed


def room_for_traces(num_neurons: int) -> Traces:
    """Return room for `Traces`."""
    told, steps = np.empty((2, num_neurons), np.float32)
    return Traces(told, steps, np.empty(num_neurons), room_for_list(num_neurons))


@compiled(bare=True)
def show_closed_form(first, last, lives, rule, decays, learning, spikes, room, shown):
    """Show an image to the lifetimes `first` to `last` - 1, which live by a rule in closed form; all in place.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        lives: Their networks, and what they are shown.
        rule: Coefficients.
        decays: Of its traces.
        learning: How weights follow the rule.
        spikes: Room for spikes.
        room: Room for traces.
        shown: Filled in; `changes` is added to.
    """
    for b in range(first, last):
        begin(b, lives, spikes, shown)
        for t in range(shown.raster.shape[1]):
            advance(b, t, lives, spikes, shown)
            learn_closed_form(b, t, lives, rule, decays, learning, spikes, room, shown)
        end_image(b, lives, spikes, shown)


@inlined()
def learn_closed_form(b, t, lives, rule, decays, learning, spikes, room, shown):
    """Answer the events of step `t` of lifetime `b`."""
    populations, connections, neurons = lives.populations, lives.connections, lives.neurons
    if rule.tau_theta > 0:
        _follow_squares(b, t, populations, neurons, rule, decays, learning.window, spikes)
    at_pre = rule.s != 0 or rule.s_slow != 0 or rule.g != 0
    at_post = rule.p != 0 or rule.p_fast != 0 or rule.p_slow != 0 or rule.p_theta != 0 or rule.q != 0 or rule.r != 0
    for c in range(len(connections.source)):
        if not learns(c, lives, learning, spikes):
            continue
        source, target = connections.source[c], connections.target[c]
        pre = at_pre and learning.at_pre and spikes.num_now[source] > 0 and spikes.num_ever[target] > 0
        post = at_post and learning.at_post and spikes.num_now[target] > 0
        if not (pre or post or rule.signed):  # nothing changes
            count_events(b, c, lives, learning, spikes, shown)
            continue
        synapses = synapses_of(b, t, c, lives, learning, spikes, shown)
        if not rule.signed:
            threshold = neurons.threshold[b]
            follow_traces(synapses, spikes, decays, threshold, room.pre, room.listed, rule, at_pre, at_post)
        elif rule.factor_trace or rule.factor_surrogate or rule.factor_at_post or synapses.loops:
            _tell(b, synapses, populations, neurons, rule, room)
            _follow_product(synapses, spikes, decays, room, rule)
        elif synapses.num_pre:
            _follow_factor(synapses, spikes, neurons.factor[b], room.steps, rule)


@inlined()
def _follow_squares(b, t, populations, neurons, rule, decays, window, spikes):
    """Move the running mean of y^2 on; it is 0 in neurons that have not fired."""
    keep = np.exp(-rule.dt / rule.tau_theta)
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(start, start + spikes.num_ever[p]):
            n = start + spikes.ever[place]
            y = trace(spikes, n, t, window, decays.post_fast, rule.nearest)
            neurons.threshold[b, n] = keep * neurons.threshold[b, n] + (1.0 - keep) * y**2


@inlined()
def _tell(b, synapses, populations, neurons, rule, room):
    """Fill `room.told` with the factor of each target neuron, times its surrogate where the rule has it."""
    for j in range(synapses.n_post):
        n = synapses.post + j
        room.told[j] = neurons.factor[b, n]
        if rule.factor_surrogate:
            room.told[j] *= surrogate_of(lacks_of(b, n, synapses.target, populations, neurons))


@inlined()
def _follow_factor(synapses, spikes, factor, steps, rule):
    """Pre spikes of a rule that follows a third factor, (N,)."""
    for j in range(synapses.n_post):
        answer = rule.g * factor[synapses.post + j] / rule.scale
        steps[j] = synapses.scale * np.float32(min(max(answer, -1.0), 1.0))
    for place in range(synapses.pre, synapses.pre + synapses.num_pre):
        change_row(spikes.now[place], steps, synapses)


@inlined()
def _follow_product(synapses, spikes, decays, room, rule):
    """Spikes of a rule that follows factor, pre trace and surrogate."""
    pre, post, told, steps = synapses.pre, synapses.post, room.told, room.steps
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        x = pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
        drive = np.float32(rule.g) * np.float32(x) / np.float32(rule.scale)
        for j in range(synapses.n_post):
            steps[j] = drive * told[j]
        as_steps(steps, synapses.n_post, False, synapses.scale)
        change_row(i, steps, synapses)
    if not rule.factor_at_post:
        return
    for i in range(synapses.n_pre):
        room.pre[i] = pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
    members, weights = room.listed.members, room.listed.weights
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        count = take_column(j, spikes, synapses, weights, members, rule.factor_trace)
        for k in range(count):
            answer = np.float32(rule.g) * np.float32(room.pre[members[k]]) * told[j] / rule.scale
            steps[k] = synapses.scale * np.float32(min(max(answer, -1.0), 1.0))
        change_column(j, weights, members, count, steps, synapses)
