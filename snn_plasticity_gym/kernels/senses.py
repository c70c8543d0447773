"""Input of a network in a world: the codes of `networks/observation_encoders.py`, for one lifetime.

Axes: D observations, F receptive fields of an observation, I input neurons, n of them in a code.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.simulation import note
from snn_plasticity_gym.kernels.tables import Float32, Int64

ONE_HOT, BELLS, RATES = range(3)

_ROUNDING = 1e-9  # as in `observation_encoders`


class Senses(NamedTuple):
    """`OneHotFields`, `GaussianPopulation` or `RateEncoder`."""

    code: int  # ONE_HOT, BELLS or RATES
    place: Float32  # edges (D, F - 1); centres of bells (D, F); where rates are 0 (D, F)
    scale: Float32  # sharpness of bells (D, 1); span of rates (D, F); of edges not read
    floor: float  # least activation of bells
    period: float  # steps between the spikes of active neurons; 0: spikes are random
    rate: float  # spike probability in a step, at activation 1
    first: int = 0  # index of the first input neuron among all neurons


class Code(NamedTuple):
    """Activations of input neurons."""

    place: Int64  # (n,) indices among the inputs, ascending
    activation: Float32  # (n,)


def room_for_code(senses: Senses) -> Code:
    """Allocate `Code`: of one-hot fields one neuron of each observation, else all."""
    count = len(senses.place) if senses.code == ONE_HOT else senses.place.size
    return Code(np.arange(count), np.ones(count, dtype=np.float32))


@inlined()
def encode(observation, senses, code):
    """Compute the code of an observation (D,)."""
    place, scale = senses.place, senses.scale
    for d in range(len(place)):
        value = observation[d]
        if senses.code == ONE_HOT:
            field = 0
            for edge in place[d]:
                field += value >= edge
            code.place[d] = d * (place.shape[1] + 1) + field
            continue
        for f in range(place.shape[1]):
            distance = value - place[d, f]
            if senses.code == BELLS:
                height = np.float32(math.exp(np.float64(-scale[d, 0] * (distance * distance))))
                activation = max(height, np.float32(senses.floor))
            else:
                activation = min(max(distance / scale[d, f], np.float32(0.0)), np.float32(1.0))
            code.activation[d * place.shape[1] + f] = activation


@inlined()
def fire_inputs(t, senses, code, stream, populations, spikes, line):
    """Generate input spikes of step `t`, regular or random; `stream` is the random generator of the episode."""
    if senses.period > 0.0:
        if math.floor(t / senses.period + _ROUNDING) > math.floor((t - 1) / senses.period + _ROUNDING):
            for place in code.place:
                note(t, senses.first + place, populations, spikes, line)
        return
    for k in range(len(code.place)):
        if stream.random(dtype=np.float32) < np.float32(senses.rate) * code.activation[k]:
            note(t, senses.first + code.place[k], populations, spikes, line)
