"""One image in one lifetime, step by step: spikes, and third factors that change within it.

Loops of all rules show a lifetime M images one after the other. For each they take the tables of that image
(`networks_of`, `learning_of`, `record_of`), start with `begin`, call `advance` in each step before weight updates, and
end with `end_image`.

Axes: M images, B lifetimes, C outputs, T steps, N neurons of all populations, concatenated.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.network import scale_to_norm
from snn_plasticity_gym.kernels.simulation import begin_image, simulate
from snn_plasticity_gym.kernels.tables import ImageRecord, InputSpikes, Learning, Networks
from snn_plasticity_gym.kernels.trail import clear_trail, keep_step


@inlined()
def networks_of(m, networks):
    """Return the networks and the inputs of image `m` of several; see `tables.ImageSeries`."""
    inputs = InputSpikes(networks.inputs.stimulus[m], networks.inputs.start, networks.inputs.neuron)
    return Networks(
        networks.populations, networks.connections, networks.neurons, networks.weights, inputs, networks.factor,
        networks.keys, networks.watched,
    )  # fmt: skip


@inlined()
def learning_of(m, learning):
    """Return the settings of weight updates in image `m` of several."""
    return Learning(
        learning.window, learning.at_pre, learning.at_post, learning.pace[m], learning.eligibility, learning.keep
    )


@inlined()
def record_of(m, record):
    """Return the record of image `m` of several."""
    return ImageRecord(
        record.raster, record.counts[m], record.first[m], record.totals[m], record.num_events[m], record.changes[m],
        record.winner_weights[m], record.trail,
    )  # fmt: skip


@inlined()
def begin(b, m, networks, spikes, record):
    """Reset lifetime `b` to its state before the first step of image `m`.

    Before the first image the engine has scaled weights to their norms.
    """
    if m > 0:
        _scale_to_norms(b, networks, spikes)
    begin_image(b, networks, spikes, record.raster[b])
    clear_trail(record.trail)
    record.num_events[b] = 0


@inlined()
def _scale_to_norms(b, networks, spikes):
    """Scale weights as `Network.normalise` does."""
    populations, connections = networks.populations, networks.connections
    for c in range(len(connections.source)):
        if connections.norm[c] > 0.0:
            n_pre, n_post = populations.size[connections.source[c]], populations.size[connections.target[c]]
            scale_to_norm(
                networks.weights, connections.offset[c] + b * n_pre * n_post, n_pre, n_post, connections.norm_order[c],
                connections.norm[c], connections.low[c], connections.high[c], spikes.doubles,
            )  # fmt: skip


@inlined()
def advance(b, t, networks, spikes, record):
    """Compute the spikes of step `t` of lifetime `b`, and the third factors."""
    _apply_teaching(b, t, networks, spikes)
    simulate(b, t, networks.inputs.stimulus[b], networks, spikes, record.raster[b])
    _feed_back_error(b, t, networks, spikes)
    keep_step(b, t, networks, record.trail)


@inlined()
def _apply_teaching(b, t, networks, spikes):
    """Inject the teaching current into the target population."""
    populations, neurons, factor = networks.populations, networks.neurons, networks.factor
    if factor.target < 0 or factor.sends:
        return
    start = populations.start[factor.target]
    for k in range(factor.wanted.shape[1]):
        factors = factor.wanted[b, k] if t >= factor.begin else np.float32(0.0)
        neurons.factor[b, start + k] = factors
        neurons.current[b, start + k] = np.float32(factor.teaching) * factors
    if t >= factor.begin:
        spikes.awake[factor.target] = True


@inlined(fast_sums=True)
def _feed_back_error(b, t, networks, spikes):
    """Project the current output error back through fixed random weights."""
    populations, neurons, factor = networks.populations, networks.neurons, networks.factor
    if factor.target < 0 or not factor.sends:
        return
    start, num_outputs = populations.start[factor.target], factor.wanted.shape[1]
    error = spikes.error[:num_outputs]
    largest, total = np.float32(-np.inf), np.float32(0.0)
    for k in range(num_outputs):
        rate = np.float32(spikes.num_times[start + k]) / np.float32((t + 1) * factor.dt)
        error[k] = np.float32(factor.alpha) * rate
        largest = max(largest, error[k])
    for k in range(num_outputs):
        error[k] = np.exp(error[k] - largest)
        total += error[k]
    for k in range(num_outputs):
        error[k] = factor.wanted[b, k] - error[k] / total if t >= factor.begin else np.float32(0.0)
        neurons.factor[b, start + k] = error[k]
    for layer in range(len(factor.reaches)):
        p = factor.reaches[layer]
        size = populations.size[p]
        factors = neurons.factor[b, populations.start[p] : populations.start[p] + size]
        factors[:] = 0.0
        for k in range(num_outputs):
            first = factor.offset[layer] + (b * num_outputs + k) * size
            row = factor.weights[first : first + size]
            for j in range(size):
                factors[j] += error[k] * row[j]
