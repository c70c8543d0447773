"""One image in one lifetime, step by step: spikes, and third factors that change within it.

Every way of learning begins with `begin`, calls `advance` in each step before its own part, and ends with `end_image`.

Axes: B lifetimes, C outputs, T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.simulation import begin_image, simulate
from snn_plasticity_gym.kernels.trail import clear_trail, keep_step


@inlined()
def begin(b, lives, spikes, shown):
    """Put lifetime `b` to where it stands before the first step."""
    begin_image(b, lives, spikes, shown.raster[b])
    clear_trail(shown.trail)
    shown.num_events[b] = 0


@inlined()
def advance(b, t, lives, spikes, shown):
    """Find out who fires in step `t` of lifetime `b`, and what third factors are then."""
    _teach(b, t, lives, spikes)
    simulate(b, t, lives.inputs.stimulus[b], lives, spikes, shown.raster[b])
    _send_back(b, t, lives, spikes)
    keep_step(b, t, lives, shown.trail)


@inlined()
def _teach(b, t, lives, spikes):
    """Let the teaching current flow into the neurons of the population that is taught."""
    populations, neurons, factor = lives.populations, lives.neurons, lives.factor
    if factor.target < 0 or factor.sends:
        return
    start = populations.start[factor.target]
    for k in range(factor.wanted.shape[1]):
        told = factor.wanted[b, k] if t >= factor.begin else np.float32(0.0)
        neurons.factor[b, start + k] = told
        neurons.current[b, start + k] = np.float32(factor.teaching) * told
    if t >= factor.begin:
        spikes.awake[factor.target] = True


@inlined(fast_sums=True)
def _send_back(b, t, lives, spikes):
    """Send the error of the output so far back through fixed random weights."""
    populations, neurons, factor = lives.populations, lives.neurons, lives.factor
    if factor.target < 0 or not factor.sends:
        return
    start, num_outputs = populations.start[factor.target], factor.wanted.shape[1]
    error = spikes.error[:num_outputs]
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
