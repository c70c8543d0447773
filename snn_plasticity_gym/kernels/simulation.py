"""Spikes of a time step of one lifetime: spikes are lists, and only the weight rows of spiking neurons are read.

Sums run in the order and precision of `Network.advance`, which gives the same spikes bit by bit. Loops over the neurons
of a population have no branch, so that they become vector instructions; spiking neurons are searched only where there
are any. A population without any input so far is skipped.

Axes: B lifetimes, T steps, N neurons of all populations, concatenated, P populations, C connections.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.groups import draw, uniform
from snn_plasticity_gym.kernels.tables import Bool, Float32, Float64, Int64, Populations


class Spikes(NamedTuple):
    """Spikes of the present image in one lifetime; lists of population p start at its first neuron's index."""

    now: Int64  # (N,) neurons with a spike in this step, indices within the population
    num_now: Int64  # (P,)
    before: Int64  # (N,) those of the previous step
    num_before: Int64  # (P,)
    ever: Int64  # (N,) neurons with a spike in this image
    num_ever: Int64  # (P,)
    fires: Bool  # (N,) whether a neuron spikes in this step
    times: Int64  # (N, T) steps of the spikes of each neuron
    num_times: Int64  # (N,)
    awake: Bool  # (P,) whether potentials may differ from rest
    currents: Float32  # (N,) room
    sums: Float32  # (N,) room
    error: Float32  # (N,) room
    doubles: Float64  # (N,) room


def room_for_spikes(populations: Populations, num_steps: int) -> Spikes:
    """Allocate `Spikes`."""
    num_populations, num_neurons = len(populations.start), len(populations.of_neuron)
    return Spikes(
        np.zeros(num_neurons, np.int64),
        np.zeros(num_populations, np.int64),
        np.zeros(num_neurons, np.int64),
        np.zeros(num_populations, np.int64),
        np.zeros(num_neurons, np.int64),
        np.zeros(num_populations, np.int64),
        np.zeros(num_neurons, np.bool_),
        np.empty((num_neurons, num_steps), np.int64),
        np.zeros(num_neurons, np.int64),
        np.zeros(num_populations, np.bool_),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float32),
        np.empty(num_neurons, np.float64),
    )


@inlined()
def begin_image(b, networks, spikes, raster):
    """Reset lifetime `b` to its state before the first step, and `raster` (T, N); theta is not reset."""
    populations, neurons = networks.populations, networks.neurons
    raster[:] = False
    spikes.num_now[:] = 0
    spikes.num_ever[:] = 0
    spikes.fires[:] = False
    spikes.num_times[:] = 0
    neurons.refractory[b] = 0.0
    neurons.threshold[b] = 0.0
    for p in range(len(populations.start)):
        start, end = populations.start[p], populations.start[p] + populations.size[p]
        rest, threshold = populations.v_rest[p], populations.v_th[p]
        neurons.v[b, start:end] = rest
        neurons.potential[b, start:end] = rest
        copy(neurons.compared[b, start:end], neurons.theta[b, start:end])
        above = populations.v_min[p] > rest or populations.group_size[p] > 0
        for n in range(start, end):
            above |= rest - threshold - neurons.theta[b, n] > 0 or neurons.current[b, n] != 0
        spikes.awake[p] = above


@inlined()
def end_image(b, networks, spikes, record):
    """Count the spikes of lifetime `b`, and record the weights into its winner."""
    populations = networks.populations
    for p in range(len(populations.start)):
        total = 0
        for n in range(populations.start[p], populations.start[p] + populations.size[p]):
            total += spikes.num_times[n]
        record.totals[p, b] = total
    record.first[b] = 0
    for n in range(len(spikes.num_times)):
        record.counts[b, n] = spikes.num_times[n]
        if spikes.num_times[n] > 0:
            record.first[b, n] = spikes.times[n, 0]
    if networks.watched >= 0:
        _keep_winner_weights(b, networks, record)


@inlined()
def _keep_winner_weights(b, networks, record):
    """Record the weights of the watched connection into the neuron that `rewards.winner` would name."""
    populations, connections, c = networks.populations, networks.connections, networks.watched
    n_pre, n_post = populations.size[connections.source[c]], populations.size[connections.target[c]]
    start, best = populations.start[connections.target[c]], -1
    for n in range(start, start + n_post):
        count, most = record.counts[b, n], record.counts[b, best] if best >= 0 else 0
        if count > most or (count > 0 and count == most and record.first[b, n] < record.first[b, best]):
            best = n
    first = connections.offset[c] + b * n_pre * n_post
    for pre in range(n_pre):
        weight = networks.weights[first + pre * n_post + best - start] if best >= 0 else np.float32(0.0)
        record.winner_weights[b, pre] = weight


@inlined()
def simulate(b, t, stimulus, networks, spikes, raster):
    """Compute the spikes of step `t` of lifetime `b`, in order of populations, and store them in `raster` (T, N)."""
    populations, inputs = networks.populations, networks.inputs
    turn_to_next_step(populations, spikes)
    for at in range(inputs.start[stimulus, t], inputs.start[stimulus, t + 1]):
        note(t, inputs.neuron[at], populations, spikes, raster[t])
    fire_all(b, t, networks, spikes, raster[t])


@inlined()
def fire_all(b, t, networks, spikes, line):
    """Compute the spikes of step `t` of lifetime `b`, except inputs, and store them in `line` (N,), as inputs are."""
    populations, connections, neurons = networks.populations, networks.connections, networks.neurons
    for p in range(len(populations.start)):
        if not populations.computed[p]:
            continue
        reached, rises = spikes.awake[p], populations.theta_plus[p] > 0
        for c in range(len(connections.source)):
            if connections.target[c] == p and _sends(c, connections, spikes):
                reached = True
        if not reached and not rises:
            continue
        start, size = populations.start[p], populations.size[p]
        currents, theta = spikes.currents[:size], neurons.theta[b, start : start + size]
        if rises:
            copy(neurons.compared[b, start : start + size], theta)
        if reached:
            spikes.awake[p] = True
            _clear(currents)
            for c in range(len(connections.source)):
                if connections.target[c] == p:
                    _propagate(b, c, populations, connections, networks.weights, spikes, currents)
            if populations.group_size[p] > 0:
                _draw(b, t, p, networks, spikes, currents, line)
            else:
                _fire(b, t, p, populations, neurons, spikes, currents, line)
        elif rises:
            _decay(theta, populations.theta_decay[p])


@inlined()
def turn_to_next_step(populations, spikes):
    """Make the spikes of this step those of the previous step."""
    for p in range(len(populations.start)):
        start, count = populations.start[p], spikes.num_now[p]
        for place in range(start, start + count):
            spikes.before[place] = spikes.now[place]
            spikes.fires[start + spikes.now[place]] = False
        spikes.num_before[p] = count
        spikes.num_now[p] = 0


@inlined()
def note(t, n, populations, spikes, line):
    """Store a spike of neuron `n` in step `t`, with that step's line (N,) of the raster."""
    p = populations.of_neuron[n]
    start = populations.start[p]
    spikes.now[start + spikes.num_now[p]] = n - start
    spikes.num_now[p] += 1
    if spikes.num_times[n] == 0:
        spikes.ever[start + spikes.num_ever[p]] = n - start
        spikes.num_ever[p] += 1
    spikes.times[n, spikes.num_times[n]] = t
    spikes.num_times[n] += 1
    spikes.fires[n] = True
    line[n] = True


@inlined()
def _sends(c, connections, spikes):
    """Whether connection `c` transmits any spike in this step."""
    source = connections.source[c]
    return (spikes.num_before[source] if connections.recurrent[c] else spikes.num_now[source]) > 0


@inlined()
def _propagate(b, c, populations, connections, weights, spikes, currents):
    """Add to `currents` the current of connection `c` in this step."""
    source = connections.source[c]
    n_pre, n_post = populations.size[source], len(currents)
    start = populations.start[source]
    count, listed = spikes.num_now[source], spikes.now
    if connections.recurrent[c]:
        count, listed = spikes.num_before[source], spikes.before
    gain = connections.gain[c]
    if connections.one_to_one[c]:
        for place in range(start, start + count):
            currents[listed[place]] += gain
        return
    base = connections.offset[c] + b * n_pre * n_post
    if count == 0:
        return
    sums, place = spikes.sums[:n_post], 1
    first = base + listed[start] * n_post
    copy(sums, weights[first : first + n_post])
    while place + 2 < count:
        at = start + place
        one, two, three = base + listed[at] * n_post, base + listed[at + 1] * n_post, base + listed[at + 2] * n_post
        _add_three(sums, weights[one : one + n_post], weights[two : two + n_post], weights[three : three + n_post])
        place += 3
    while place < count:
        first = base + listed[start + place] * n_post
        _add(sums, weights[first : first + n_post])
        place += 1
    for j in range(n_post):
        currents[j] += gain * sums[j]


@inlined()
def _clear(values):
    for k in range(len(values)):
        values[k] = 0.0


@inlined()
def copy(target, source):
    """Copy numbers."""
    for k in range(len(target)):
        target[k] = source[k]


@inlined()
def _add(sums, row):
    for j in range(len(sums)):
        sums[j] += row[j]


@inlined()
def _add_three(sums, first, second, third):
    """Add three rows in order; the sums are loaded and stored once."""
    for j in range(len(sums)):
        sums[j] = ((sums[j] + first[j]) + second[j]) + third[j]


@inlined()
def _decay(values, factor):
    for k in range(len(values)):
        values[k] *= factor


@inlined()
def _fire(b, t, p, populations, neurons, spikes, currents, line):
    """Integrate, compare with the threshold, reset: `lif_step`, in its order of operations."""
    start, size = populations.start[p], populations.size[p]
    places = slice(start, start + size)
    v, theta, outside = neurons.v[b, places], neurons.theta[b, places], neurons.current[b, places]
    refractory, potential = neurons.refractory[b, places], neurons.potential[b, places]
    leak, rest, resistance = populations.leak[p], populations.v_rest[p], populations.resistance[p]
    threshold, lowest, silent = populations.v_th[p], populations.v_min[p], populations.silent_steps[p]
    constants = (leak, rest, resistance, lowest, threshold)
    if silent > 0:
        above = _integrate_free(v, potential, currents, outside, theta, refractory, constants)
    else:
        above = _integrate(v, potential, currents, outside, theta, constants)
    plus = populations.theta_plus[p]
    best, furthest = np.float32(0.0), -1
    first = spikes.num_now[p]
    if above > 0:
        for k in range(size):
            excess = v[k] - threshold - theta[k]
            if excess > 0 and not (silent > 0 and refractory[k] > 0):
                if populations.one_spike[p]:
                    if furthest < 0 or excess > best:
                        best, furthest = excess, k
                else:
                    note(t, start + k, populations, spikes, line)
        if furthest >= 0:
            note(t, start + furthest, populations, spikes, line)
    if silent > 0:
        for k in range(size):
            left = refractory[k] - np.float32(1.0)
            refractory[k] = left if left > 0 else np.float32(0.0)
    if plus > 0:
        _decay(theta, populations.theta_decay[p])
    for place in range(start + first, start + spikes.num_now[p]):
        k = spikes.now[place]
        v[k] = populations.v_reset[p]
        if silent > 0:
            refractory[k] = silent
        if plus > 0:
            theta[k] += plus


@inlined()
def _draw(b, t, p, networks, spikes, currents, line):
    """Integrate, and sample the spike of each group: `networks.groups.step`, in its order of operations."""
    populations, neurons = networks.populations, networks.neurons
    start, size, every = populations.start[p], populations.size[p], populations.group_size[p]
    places = slice(start, start + size)
    v, theta, outside = neurons.v[b, places], neurons.theta[b, places], neurons.current[b, places]
    potential, threshold = neurons.potential[b, places], populations.v_th[p]
    constants = populations.leak[p], populations.v_rest[p], populations.resistance[p], populations.v_min[p], threshold
    _integrate(v, potential, currents, outside, theta, constants)
    for first in range(start, start + size, every):
        members = slice(first, first + every)
        number = uniform(networks.keys[b], t * len(populations.of_neuron) + first)
        winner = draw(
            neurons.potential[b, members],
            populations.group_width[p],
            number,
            threshold,
            spikes.doubles[:every],
            neurons.compared[b, members],
        )
        note(t, first + winner, populations, spikes, line)


@inlined()
def _integrate(v, potential, currents, outside, theta, constants):
    """Advance potentials by a step; return how many are above their threshold, in a type as narrow as theirs."""
    leak, rest, resistance, lowest, threshold = constants
    above = np.int32(0)
    for k in range(len(v)):
        drive = resistance * (currents[k] + outside[k])
        moved = v[k] + leak * (rest - v[k] + drive)
        moved = lowest if moved < lowest else moved
        v[k] = potential[k] = moved
        above = np.int32(above + np.int32(moved - threshold - theta[k] > 0))
    return above


@inlined()
def _integrate_free(v, potential, currents, outside, theta, refractory, constants):
    """Do what `_integrate` does, where refractory neurons have no input current and do not fire."""
    leak, rest, resistance, lowest, threshold = constants
    above = np.int32(0)
    for k in range(len(v)):
        resting = refractory[k] > 0
        drive = np.float32(0.0) if resting else resistance * (currents[k] + outside[k])
        moved = v[k] + leak * (rest - v[k] + drive)
        moved = lowest if moved < lowest else moved
        v[k] = potential[k] = moved
        above = np.int32(above + np.int32((moved - threshold - theta[k] > 0) & (not resting)))
    return above


@inlined()
def trace(spikes, n, now, window, decay, nearest):
    """Return the trace of a neuron's earlier spikes: the sum of `decay`, (T + 1,), over their ages, or of the latest.

    Args:
        spikes: Of the image.
        n: Neuron.
        now: Step.
        window: Ages from which on spikes are ignored.
        decay: Contribution of a spike of each age, (T + 1,).
        nearest: Use only the latest spike.
    """
    total = 0.0
    for at in range(spikes.num_times[n] - 1, -1, -1):
        age = now - spikes.times[n, at]
        if age >= window:
            break
        if age > 0:
            total += decay[age]
            if nearest:
                break
    return total
