"""What a teacher looks at after an image: changes asked for, potentials, weights, step by step.

A teacher judges each event by what its own step was, which is known only when the image is over. It need not list the
events: its gradient is the same for all events of a post neuron in a step, so that sums over them are enough.

Axes: C projections, T steps, N neurons of all populations one after the other, W synapses between computed ones.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Connections, Populations, Trail


def room_for_trail(populations: Populations, connections: Connections, num_steps: int) -> Trail:
    """Return room for the trail of one lifetime at a time."""
    first, width = np.full(len(connections.source), -1), 0
    for c, (source, target) in enumerate(zip(connections.source, connections.target, strict=True)):
        if connections.plastic[c] and populations.computed[source]:
            first[c] = width
            width += populations.size[source] * populations.size[target]
    return _trail(first, num_steps, len(populations.of_neuron), width)


def no_trail() -> Trail:
    """Return the trail of lifetimes without a teacher."""
    return _trail(np.zeros(0, np.int64), 1, 0, 0)


def _trail(first: np.ndarray, num_steps: int, num_neurons: int, width: int) -> Trail:
    shape = num_steps, num_neurons
    return Trail(
        totals=np.zeros((len(first), 2)),
        asked=np.zeros(shape, np.float32),
        rises=np.zeros(shape, np.int32),
        falls=np.zeros(shape, np.int32),
        potentials=np.zeros(shape, np.float32),
        weights=np.empty((num_steps, width), np.float32),
        first=first,
    )


@inlined()
def clear_trail(trail):
    """Forget the image before."""
    trail.totals[:] = 0.0
    trail.asked[:] = 0.0
    trail.rises[:] = 0
    trail.falls[:] = 0


@inlined()
def keep_step(b, t, lives, trail):
    """Keep the potentials of step `t` of lifetime `b`, and the weights as they are now."""
    populations, connections = lives.populations, lives.connections
    for n in range(trail.potentials.shape[1]):
        trail.potentials[t, n] = lives.neurons.potential[b, n]
    for c in range(len(trail.first)):
        if trail.first[c] >= 0:
            size = populations.size[connections.source[c]] * populations.size[connections.target[c]]
            start = connections.offset[c] + b * size
            for k in range(size):
                trail.weights[t, trail.first[c] + k] = lives.weights[start + k]
