"""Local scalars in compiled loops; see `plasticity.local_scalars`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.tables import Float32

POTENTIAL, SURROGATE, THETA, FACTOR, REWARD, LAYER = range(6)


class Surroundings(NamedTuple):
    """What scalars are made of beside neurons."""

    reward: Float32  # (B,)
    layer: Float32  # (C,) constant of each projection


@compiled(bare=True)
def tell(b, c, post, n_post, distance, threshold, neurons, around, which, told):
    """Fill in scalar `which` of the target neurons of connection `c` in lifetime `b`: `told` (n_post,)."""
    for j in range(n_post):
        n = post + j
        if which == THETA:
            told[j] = neurons.compared[b, n]
        elif which == FACTOR:
            told[j] = neurons.factor[b, n]
        elif which == REWARD:
            told[j] = around.reward[b]
        elif which == LAYER:
            told[j] = around.layer[c]
        else:
            lacks = (threshold + neurons.compared[b, n] - neurons.potential[b, n]) / distance
            slope = np.float32(1.0) + np.float32(2.0) * abs(lacks)
            told[j] = lacks if which == POTENTIAL else np.float32(1.0) / (slope * slope)
