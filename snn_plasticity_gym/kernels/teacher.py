"""The gradient teacher in compiled loops: backpropagation through an image, and alignment of changes with the gradient.

As `rewards/gradient.py`, which has the equations, and `Adjoint` for all lifetimes at once, for one lifetime with a
`Trail` of its image.

Axes: B lifetimes, C outputs, T steps, N neurons of all populations, concatenated, L layers of synapses.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined

COUNT, PRODUCT, GRADIENTS, CHANGES, GRADED, AGREE = range(6)  # rows of sums
NUM_SUMS = 6


@compiled()
def walk_back(b, networks, layers, raster, trail, curve, output_gradient, at_pre, sums):
    """Sum the alignment of lifetime `b`'s events with the gradient.

    Args:
        b: Lifetime.
        networks: The networks.
        layers: The projections of a feed-forward network from the first to the last, (L,).
        raster: Spikes, (T, N).
        trail: Record of the image; potentials equal to the threshold count as below it.
        curve: Surrogate derivative of each neuron in each step, (T, N).
        output_gradient: dL/ds of the output spikes, the same in all steps, (C,).
        at_pre: Whether pre spikes are events; else only post spikes are.
        sums: Output, (6, L): number of events; of -g dw, of g^2 and of dw^2 their sums; number of events with g
            and dw, and of those of them with dw against g.
    """
    populations, connections = networks.populations, networks.connections
    deltas, by_membrane = np.zeros(raster.shape[1], np.float32), np.zeros(raster.shape[1], np.float32)
    for layer in range(len(layers)):
        sums[:, layer] = 0.0
        sums[COUNT, layer], sums[CHANGES, layer] = trail.totals[layers[layer]]
    for t in range(len(raster) - 1, -1, -1):
        for layer in range(len(layers) - 1, -1, -1):
            c = layers[layer]
            p = connections.target[c]
            start, size = populations.start[p], populations.size[p]
            leak = populations.leak[p]
            scale = connections.gain[c] * leak * populations.resistance[p]
            for j in range(size):
                n = start + j
                by_spike = output_gradient[j]
                if layer < len(layers) - 1:
                    by_spike = _backpropagated(t, j, layers[layer + 1], populations, connections, trail, deltas)
                later = np.float32(0.0) if trail.potentials[t, n] - populations.v_th[p] > 0 else by_membrane[n]
                by_potential = by_spike * curve[t, n] + later
                deltas[n] = scale * by_potential
                by_membrane[n] = (np.float32(1.0) - leak) * by_potential
            source = connections.source[c]
            fired = 0
            for i in range(populations.start[source], populations.start[source] + populations.size[source]):
                fired += raster[t, i]
            if fired > 0:
                _sum_up(t, start, size, fired, at_pre, raster, trail, deltas, sums[:, layer])


@inlined(fast_sums=True)
def _backpropagated(t, i, c, populations, connections, trail, deltas):
    """Return the delta of neuron `i` of projection `c`'s source, backpropagated from its targets' deltas."""
    target = connections.target[c]
    start, size = populations.start[target], populations.size[target]
    first = trail.first[c] + i * size
    row, target_deltas = trail.weights[t, first : first + size], deltas[start : start + size]
    total = np.float32(0.0)
    for j in range(size):
        total += row[j] * target_deltas[j]
    return total


@inlined()
def _sum_up(t, start, size, fired, at_pre, raster, trail, deltas, sums):
    """Add the events of `fired` pre neurons in step `t`: g is the post neuron's delta."""
    for n in range(start, start + size):
        g = np.float64(deltas[n])
        if g == 0.0 or not (at_pre or raster[t, n]):
            continue
        sums[PRODUCT] -= g * trail.requested[t, n]
        sums[GRADIENTS] += g * g * fired
        sums[GRADED] += trail.rises[t, n] + trail.falls[t, n]
        sums[AGREE] += trail.falls[t, n] if g > 0.0 else trail.rises[t, n]
