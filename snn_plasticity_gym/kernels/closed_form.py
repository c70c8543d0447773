"""Plasticity by a hand-written rule: the rows and columns of the synapses whose neurons fire, without a list of events.

What `EventFinder`, the rule and `Engine.write` do together for one step of one lifetime, for the formula of
`rules/closed_form.py`. The rows of pre spikes come first; a synapse whose two neurons fired is answered there, once.

Axes: T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.episode import advance, begin
from snn_plasticity_gym.kernels.scalars import lacks_of, surrogate_of
from snn_plasticity_gym.kernels.simulation import end_image, trace
from snn_plasticity_gym.kernels.synapses import as_steps, change_one, change_row, learns, of_both, synapses_of
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


def room_for_traces(num_neurons: int) -> Traces:
    """Return room for `Traces`."""
    return Traces(
        np.empty(num_neurons),
        np.empty(num_neurons),
        np.empty(num_neurons),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
    )


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
        end_image(b, spikes, shown)


@compiled(bare=True)
def learn_closed_form(b, t, lives, rule, decays, learning, spikes, room, shown):
    """Answer the events of step `t` of lifetime `b`."""
    populations, neurons = lives.populations, lives.neurons
    if rule.tau_theta > 0:
        _follow_squares(b, t, populations, neurons, rule, decays, learning.window, spikes)
    at_pre = rule.s != 0 or rule.s_slow != 0 or rule.g != 0
    at_post = rule.p != 0 or rule.p_fast != 0 or rule.p_slow != 0 or rule.p_theta != 0 or rule.q != 0 or rule.r != 0
    for c in range(len(lives.connections.source)):
        if not learns(c, lives, learning, spikes):
            continue
        synapses = synapses_of(b, t, c, lives, learning, spikes, shown)
        if rule.signed:
            if rule.factor_trace or rule.factor_surrogate or rule.factor_at_post or synapses.loops:
                _tell(b, synapses, populations, neurons, rule, room)
                _follow_product(synapses, spikes, decays, room, rule)
            elif synapses.num_pre:
                _follow_factor(synapses, spikes, neurons.factor[b], room.steps, rule)
        elif (at_pre and synapses.num_pre) or (at_post and synapses.num_post):
            _follow_traces(synapses, spikes, decays, neurons.threshold[b], room, rule, at_pre, at_post)


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
def _tell(b, synapses, populations, neurons, rule, room):
    """Fill `room.told` with the factor of each target neuron, times its surrogate where the rule has it."""
    for j in range(synapses.n_post):
        n = synapses.post + j
        room.told[j] = neurons.factor[b, n]
        if rule.factor_surrogate:
            room.told[j] *= surrogate_of(lacks_of(b, n, synapses.target, populations, neurons))


@compiled(bare=True)
def _follow_factor(synapses, spikes, factor, steps, rule):
    """Pre spikes of a rule that follows a third factor, (N,)."""
    for j in range(synapses.n_post):
        answer = rule.g * factor[synapses.post + j] / rule.scale
        steps[j] = synapses.scale * np.float32(min(max(answer, -1.0), 1.0))
    for place in range(synapses.pre, synapses.pre + synapses.num_pre):
        change_row(spikes.now[place], steps, synapses)


@compiled(bare=True)
def _pre_trace(n, spikes, synapses, decays, rule, counts_now):
    """Return the trace of pre neuron `n`, in which its spike of now counts or does not."""
    x = trace(spikes, n, synapses.t, synapses.window, decays.pre_fast, rule.nearest)
    if counts_now and spikes.fires[n]:
        return 1.0 if rule.nearest else x + 1.0
    return x


@compiled(bare=True)
def _follow_product(synapses, spikes, decays, room, rule):
    """Spikes of a rule that follows factor, pre trace and surrogate."""
    pre, post, told, steps = synapses.pre, synapses.post, room.told, room.steps
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        x = _pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
        drive = np.float32(rule.g) * np.float32(x) / np.float32(rule.scale)
        for j in range(synapses.n_post):
            steps[j] = drive * told[j]
        as_steps(steps, synapses.n_post, False, synapses.scale)
        change_row(i, steps, synapses)
    if not rule.factor_at_post:
        return
    for i in range(synapses.n_pre):
        room.pre_fast[i] = _pre_trace(pre + i, spikes, synapses, decays, rule, True) if rule.factor_trace else 1.0
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        for i in range(synapses.n_pre):
            x = room.pre_fast[i]
            if of_both(pre + i, spikes, synapses) or x == 0.0 or (synapses.loops and i == j):
                continue
            answer = np.float32(rule.g) * np.float32(x) * told[j] / rule.scale
            change_one(i, j, synapses.scale * np.float32(min(max(answer, -1.0), 1.0)), synapses)


@compiled(bare=True)
def _follow_traces(synapses, spikes, decays, threshold, room, rule, at_pre, at_post):
    """Pre and post spikes of a rule of traces; `threshold`: (N,)."""
    t, window, target, pre, post = synapses.t, synapses.window, synapses.target, synapses.pre, synapses.post
    n_pre, loops, matrix = synapses.n_pre, synapses.loops, synapses.matrix
    for place in range(post, post + spikes.num_ever[target]):  # elsewhere a pre spike changes nothing
        j = spikes.ever[place]
        room.post_fast[j] = trace(spikes, post + j, t, window, decays.post_fast, rule.nearest)
        room.post_slow[j] = trace(spikes, post + j, t, window, decays.post_slow, rule.nearest)
    for place in range(pre, pre + synapses.num_pre):
        i = spikes.now[place]
        x = _pre_trace(pre + i, spikes, synapses, decays, rule, rule.coincident)
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
            if at_post and of_both(post + j, spikes, synapses):
                part = _post_part(rule, y, room.post_slow[j], threshold[post + j])
                drive = x * part - rule.q - rule.r * y * abs(before)
            elif not at_pre:
                continue
            step = _step(before, _change(abs(before), drive, fall * y, rule), rule, synapses.scale)
            change_one(i, j, step, synapses)
    if not at_post or synapses.num_post == 0:
        return
    for i in range(n_pre):
        room.pre_fast[i] = _pre_trace(pre + i, spikes, synapses, decays, rule, rule.coincident)
    for place in range(post, post + synapses.num_post):
        j = spikes.now[place]
        y = room.post_fast[j]
        part = _post_part(rule, y, room.post_slow[j], threshold[post + j])
        for i in range(n_pre):
            if of_both(pre + i, spikes, synapses) or (loops and i == j):
                continue
            before = matrix[i, j]
            drive = room.pre_fast[i] * part - rule.q - rule.r * y * abs(before)
            if drive == 0.0:
                continue
            step = _step(before, _change(abs(before), drive, 0.0, rule), rule, synapses.scale)
            change_one(i, j, step, synapses)


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
def _step(before, change, rule, scale):
    """By how much w shall move for |w| to change so, as `HandWrittenRule.answer` and `Engine.write` have it."""
    change = max(change, min(rule.smallest - abs(before), 0.0))
    if before < 0:
        change = 0.0 if rule.fixed_inhibition else -change
    return scale * np.float32(min(max(change / rule.scale, -1.0), 1.0))
