"""Record of an image for gradient teaching: requested changes, potentials, weights, step by step.

The gradient for an event belongs to its step, and is known only when the image is over. Events need not be listed: the
gradient is the same for all events of a post neuron in a step, so that sums over them are enough.

Axes: C projections, T steps, N neurons of all populations, concatenated, W synapses between computed ones.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Connections, Populations, Trail


def room_for_trail(populations: Populations, connections: Connections, num_steps: int) -> Trail:
    """Allocate the trail of one lifetime at a time."""
    first, width = np.full(len(connections.source), -1), 0
    for c, (source, target) in enumerate(zip(connections.source, connections.target, strict=True)):
        if connections.plastic[c] and populations.computed[source]:
            first[c] = width
            width += populations.size[source] * populations.size[target]
    return _trail(first, num_steps, len(populations.of_neuron), width)


def no_trail() -> Trail:
    """Return the trail of lifetimes without gradient teaching."""
    return _trail(np.zeros(0, np.int64), 1, 0, 0)


def _trail(first: np.ndarray, num_steps: int, num_neurons: int, width: int) -> Trail:
    shape = num_steps, num_neurons
    return Trail(
        totals=np.zeros((len(first), 2)),
        requested=np.zeros(shape, np.float32),
        rises=np.zeros(shape, np.int32),
        falls=np.zeros(shape, np.int32),
        potentials=np.zeros(shape, np.float32),
        weights=np.empty((num_steps, width), np.float32),
        first=first,
    )


@inlined()
def clear_trail(trail):
    """Clear the record of the previous image."""
    trail.totals[:] = 0.0
    trail.requested[:] = 0.0
    trail.rises[:] = 0
    trail.falls[:] = 0


@inlined()
def keep_step(b, t, networks, trail):
    """Record the potentials of step `t` of lifetime `b`, and the present weights."""
    populations, connections = networks.populations, networks.connections
    for n in range(trail.potentials.shape[1]):
        trail.potentials[t, n] = networks.neurons.potential[b, n]
    for c in range(len(trail.first)):
        if trail.first[c] >= 0:
            size = populations.size[connections.source[c]] * populations.size[connections.target[c]]
            start = connections.offset[c] + b * size
            for k in range(size):
                trail.weights[t, trail.first[c] + k] = networks.weights[start + k]
