"""Local scalars in compiled loops; see `plasticity.local_scalars`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Float32

POTENTIAL, SURROGATE, THETA, FACTOR, REWARD, LAYER = range(6)


class Surroundings(NamedTuple):
    """What scalars are made of beside neurons."""

    reward: Float32  # (B,)
    layer: Float32  # (C,) constant of each projection


@inlined()
def lacks_of(b, n, target, populations, neurons):
    """Return what neuron `n` of population `target` lacks to its threshold: `local_scalars.potential`."""
    lacks = populations.v_th[target] + neurons.compared[b, n] - neurons.potential[b, n]
    return lacks / populations.distance[target]


@inlined()
def surrogate_of(lacks):
    """Return the pseudo-derivative of the spike of a neuron that lacks so much: `local_scalars.surrogate`."""
    slope = np.float32(1.0) + np.float32(2.0) * abs(lacks)
    return np.float32(1.0) / (slope * slope)


@inlined()
def tell(b, synapses, lives, around, which, told):
    """Fill in scalar `which` of the target neurons of some synapses in lifetime `b`: `told` (n_post,)."""
    neurons = lives.neurons
    for j in range(synapses.n_post):
        n = synapses.post + j
        if which == THETA:
            told[j] = neurons.compared[b, n]
        elif which == FACTOR:
            told[j] = neurons.factor[b, n]
        elif which == REWARD:
            told[j] = around.reward[b]
        elif which == LAYER:
            told[j] = around.layer[synapses.connection]
        else:
            lacks = lacks_of(b, n, synapses.target, lives.populations, neurons)
            told[j] = lacks if which == POTENTIAL else surrogate_of(lacks)
