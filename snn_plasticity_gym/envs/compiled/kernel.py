"""Compiled physics and plasticity of lifetimes that live by a rule in closed form.

What `Network.advance`, `EventFinder` and `Engine.write` do together, without a list of events: one loop over lifetimes
and steps that touches the rows and columns of the synapses whose neurons spike. The torch code stays the reference that
this is tested against, and the way for every other rule and device; sums run in the same order and precision, so that
both give the same spikes.

Axes: B lifetimes, T steps, N neurons of all populations one after the other, P populations, C connections.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.compiled import compiled
from snn_plasticity_gym.envs.compiled.plasticity import count_spikes, decay_traces, learn_step, list_spikes
from snn_plasticity_gym.envs.compiled.tables import Bool, Connections, Float32, Float64, Int64, Neurons, Populations
from snn_plasticity_gym.rules.closed_form import ClosedForm


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
                _simulate(b, t, populations, connections, neurons, weights, raster, fired, sums, currents)
            if learn:
                list_spikes(b, t, populations, raster, fired, counts)
                decay_traces(b, rule, neurons)
                num_events[b] += learn_step(
                    b,
                    t,
                    populations,
                    connections,
                    neurons,
                    weights,
                    raster,
                    rule,
                    held,
                    keep[t],
                    fired,
                    counts,
                    sums,
                    changes,
                )
                count_spikes(b, rule, neurons, populations, fired, counts)


@compiled()
def _simulate(b, t, populations, connections, neurons, weights, raster, fired, sums, currents):
    """Compute the spikes of step `t` of lifetime `b`, population after population."""
    for p in range(len(populations.start)):
        if not populations.computed[p]:
            continue
        start, size = populations.start[p], populations.size[p]
        for k in range(size):
            currents[k] = 0.0
        for c in range(len(connections.source)):
            if connections.target[c] == p:
                _propagate(b, t, c, populations, connections, weights, raster, sums, currents)
        _fire(b, t, p, start, size, populations, neurons, raster, currents)


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
def _fire(b, t, p, start, size, populations, neurons, raster, currents):
    """Integrate, compare with the threshold, reset: `lif_step`, in its order of operations."""
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
