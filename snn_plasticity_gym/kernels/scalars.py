"""Local scalars in compiled loops; see `plasticity.local_scalars`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Float32

POTENTIAL, SURROGATE, THETA, FACTOR, REWARD, LAYER = range(6)


class SharedScalars(NamedTuple):
    """Scalars that are not of single neurons."""

    reward: Float32  # (B,)
    layer: Float32  # (C,) constant of each projection


@inlined()
def threshold_gap(b, n, target, populations, neurons):
    """Return the distance of neuron `n` of population `target` to its threshold: `local_scalars.potential`."""
    gap = populations.v_th[target] + neurons.compared[b, n] - neurons.potential[b, n]
    return gap / populations.distance[target]


@inlined()
def surrogate_of(gap):
    """Return the surrogate derivative of a spike at this distance to threshold: `local_scalars.surrogate`."""
    slope = np.float32(1.0) + np.float32(2.0) * abs(gap)
    return np.float32(1.0) / (slope * slope)


@inlined()
def fill_scalar(b, synapses, networks, shared_scalars, which, values):
    """Compute scalar `which` of the target neurons of some synapses in lifetime `b`: `values` (n_post,)."""
    neurons = networks.neurons
    for j in range(synapses.n_post):
        n = synapses.post + j
        if which == THETA:
            values[j] = neurons.compared[b, n]
        elif which == FACTOR:
            values[j] = neurons.factor[b, n]
        elif which == REWARD:
            values[j] = shared_scalars.reward[b]
        elif which == LAYER:
            values[j] = shared_scalars.layer[synapses.connection]
        else:
            gap = threshold_gap(b, n, synapses.target, networks.populations, neurons)
            values[j] = gap if which == POTENTIAL else surrogate_of(gap)
