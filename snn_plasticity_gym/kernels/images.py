"""Whole images: lifetimes live from the first step to the last in one compiled loop.

What `Network.advance`, `EventFinder` and `Engine.write` do together, without a list of events. The torch code stays the
reference that this is tested against, and the way for every other rule and device; spikes are the same, and weights are
up to rounding. Every lifetime is a loop of its own, so lifetimes can be spread over threads, at the same numbers.

Axes: B lifetimes, T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.closed_form import learn_closed_form, room_for_traces
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.formula_images import learn_formula, room_for_formula
from snn_plasticity_gym.kernels.simulation import begin_image, end_image, room_for_spikes, simulate


@compiled()
def show_frozen(first, last, populations, connections, neurons, weights, inputs, factor, shown):
    """Show an image to the lifetimes `first` to `last` - 1, in which nothing learns."""
    spikes = room_for_spikes(len(populations.start), shown.raster.shape[2], shown.raster.shape[1])
    for b in range(first, last):
        _show_frozen(b, populations, connections, neurons, weights, inputs, factor, spikes, shown)


@compiled(bare=True)
def _show_frozen(b, populations, connections, neurons, weights, inputs, factor, spikes, shown):
    raster, stimulus = shown.raster[b], inputs.stimulus[b]
    begin_image(b, populations, neurons, spikes, raster)
    shown.num_events[b] = 0
    for t in range(len(raster)):
        teach(b, t, populations, neurons, factor, spikes)
        simulate(b, t, stimulus, populations, connections, neurons, weights, inputs, spikes, raster)
    end_image(b, spikes, shown)


@compiled()
def show_closed_form(
    first, last, populations, connections, neurons, weights, inputs, factor, rule, decays, learning, shown
):
    """Show an image to the lifetimes `first` to `last` - 1, which live by a rule in closed form; all in place.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        populations: Constants.
        connections: Constants.
        neurons: State.
        weights: Of all synapses of all lifetimes.
        inputs: What is shown.
        factor: Third factors that change from step to step.
        rule: Coefficients.
        decays: Of its traces.
        learning: How weights follow it.
        shown: Filled in; `changes` is added to.
    """
    num_steps, num_neurons = shown.raster.shape[1:]
    spikes = room_for_spikes(len(populations.start), num_neurons, num_steps)
    room = room_for_traces(num_neurons)
    error = np.empty(factor.wanted.shape[1], np.float32)
    for b in range(first, last):
        _show_closed_form(
            b, populations, connections, neurons, weights, inputs, factor, rule, decays, learning, spikes, room, error,
            shown,
        )  # fmt: skip


@compiled(bare=True)
def _show_closed_form(
    b, populations, connections, neurons, weights, inputs, factor, rule, decays, learning, spikes, room, error, shown
):
    raster, stimulus = shown.raster[b], inputs.stimulus[b]
    begin_image(b, populations, neurons, spikes, raster)
    shown.num_events[b] = 0
    for t in range(len(raster)):
        teach(b, t, populations, neurons, factor, spikes)
        simulate(b, t, stimulus, populations, connections, neurons, weights, inputs, spikes, raster)
        send_back(b, t, populations, neurons, factor, spikes, error)
        learn_closed_form(b, t, populations, connections, neurons, weights, rule, decays, learning, spikes, room, shown)
    end_image(b, spikes, shown)


@compiled()
def show_formula(
    first, last, populations, connections, neurons, weights, inputs, factor, rule, around, learning, shown
):
    """Show an image to the lifetimes `first` to `last` - 1, which live by formulas; all in place.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        populations: Constants.
        connections: Constants.
        neurons: State.
        weights: Of all synapses of all lifetimes.
        inputs: What is shown.
        factor: Third factors that change from step to step.
        rule: The formulas.
        around: What their scalars are made of beside neurons.
        learning: How weights follow them.
        shown: Filled in; `changes` is added to.
    """
    num_steps, num_neurons = shown.raster.shape[1:]
    spikes = room_for_spikes(len(populations.start), num_neurons, num_steps)
    room = room_for_formula(rule, num_neurons)
    error = np.empty(factor.wanted.shape[1], np.float32)
    for b in range(first, last):
        _show_formula(
            b, populations, connections, neurons, weights, inputs, factor, rule, around, learning, spikes, room, error,
            shown,
        )  # fmt: skip


@compiled(bare=True)
def _show_formula(
    b, populations, connections, neurons, weights, inputs, factor, rule, around, learning, spikes, room, error, shown
):
    raster, stimulus = shown.raster[b], inputs.stimulus[b]
    begin_image(b, populations, neurons, spikes, raster)
    shown.num_events[b] = 0
    for t in range(len(raster)):
        teach(b, t, populations, neurons, factor, spikes)
        simulate(b, t, stimulus, populations, connections, neurons, weights, inputs, spikes, raster)
        send_back(b, t, populations, neurons, factor, spikes, error)
        learn_formula(b, t, populations, connections, neurons, weights, rule, around, learning, spikes, room, shown)
    end_image(b, spikes, shown)


@compiled()
def respond(first, last, populations, connections, neurons, weights, inputs, readout, counts):
    """Show M images, one after the other, to the lifetimes `first` to `last` - 1, in which nothing learns.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        populations: Constants.
        connections: Constants.
        neurons: State.
        weights: Of all synapses of all lifetimes.
        inputs: The images; `stimulus` is not looked at.
        readout: Place of the first neuron whose spikes are counted.
        counts: Filled in with their spikes, (B, M, n).
    """
    num_steps, num_neurons = inputs.start.shape[1] - 1, len(populations.of_neuron)
    spikes = room_for_spikes(len(populations.start), num_neurons, num_steps)
    raster = np.empty((num_steps, num_neurons), np.bool_)
    for b in range(first, last):
        _respond(b, populations, connections, neurons, weights, inputs, readout, counts[b], spikes, raster)


@compiled(bare=True)
def _respond(b, populations, connections, neurons, weights, inputs, readout, counts, spikes, raster):
    for image in range(len(counts)):
        begin_image(b, populations, neurons, spikes, raster)
        for t in range(len(raster)):
            simulate(b, t, image, populations, connections, neurons, weights, inputs, spikes, raster)
        for k in range(counts.shape[1]):
            counts[image, k] = spikes.num_times[readout + k]


@compiled(bare=True)
def teach(b, t, populations, neurons, factor, spikes):
    """Let the teaching current flow into the neurons of the population that is taught."""
    if factor.target < 0 or factor.sends:
        return
    start = populations.start[factor.target]
    for k in range(factor.wanted.shape[1]):
        told = factor.wanted[b, k] if t >= factor.begin else np.float32(0.0)
        neurons.factor[b, start + k] = told
        neurons.current[b, start + k] = np.float32(factor.teaching) * told
    if t >= factor.begin:
        spikes.awake[factor.target] = True


@compiled(fast_sums=True, bare=True)
def send_back(b, t, populations, neurons, factor, spikes, error):
    """Send the error of the output so far back through fixed random weights."""
    if factor.target < 0 or not factor.sends:
        return
    start, num_outputs = populations.start[factor.target], factor.wanted.shape[1]
    most, total = np.float32(-np.inf), np.float32(0.0)
    for k in range(num_outputs):
        rate = np.float32(spikes.num_times[start + k]) / np.float32((t + 1) * factor.dt)
        error[k] = np.float32(factor.alpha) * rate
        most = max(most, error[k])
    for k in range(num_outputs):
        error[k] = np.exp(error[k] - most)
        total += error[k]
    for k in range(num_outputs):
        error[k] = factor.wanted[b, k] - error[k] / total if t >= factor.begin else np.float32(0.0)
        neurons.factor[b, start + k] = error[k]
    for layer in range(len(factor.reaches)):
        p = factor.reaches[layer]
        size = populations.size[p]
        told = neurons.factor[b, populations.start[p] : populations.start[p] + size]
        told[:] = 0.0
        for k in range(num_outputs):
            first = factor.offset[layer] + (b * num_outputs + k) * size
            row = factor.weights[first : first + size]
            for j in range(size):
                told[j] += error[k] * row[j]
