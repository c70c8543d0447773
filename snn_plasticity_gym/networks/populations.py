"""What a network is made of: populations of neurons, and projections of synapses from one to another.

Axes: B networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams

Initial = Callable[[np.random.Generator, tuple[int, ...]], ArrayLike]
"""Draws fresh weights (n_pre, n_post) from a random stream and their shape."""


class Plasticity(NamedTuple):
    """How a projection's weights may move: w <- clip(w + scale * delta_d, w_min, w_max)."""

    group: int  # which policy head its synapses share
    scale: float  # weight change of delta_d = 1: learning rate eta of the synapse type, times alpha
    w_min: float
    w_max: float


UNLIMITED = Plasticity(0, 0.0, -math.inf, math.inf)


@dataclass(frozen=True)
class Population:
    """Neurons of one kind. Without `lif` it is an input: its spikes are given, not computed.

    With `groups` they are winner-take-all groups, and what `lif` says of thresholds, resets and refractory periods does
    not hold; see `networks/groups.py`.
    """

    name: str
    size: int
    lif: LIFParams | None = None
    groups: Groups | None = None


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to another.

    Weights are dimensionless; `gain` turns a weight into the charge of a spike, in units of current times ms: one spike
    moves the potential by resistance / tau_mem * gain * weight, in mV, whatever the length of a step (`pulse`). A
    `one_to_one` projection has the fixed weight 1 and joins neuron k to neuron k; any other is all to all, without
    self-connections if `autapses` is false. A `recurrent` projection carries the spikes of the step before; the others
    propagate within the step.
    """

    name: str
    source: str
    target: str
    gain: float = 1.0
    one_to_one: bool = False
    autapses: bool = True
    recurrent: bool = False
    initial: tuple[float, float] | Initial = (0.0, 1.0)  # interval of fresh weights, or what draws them
    initial_power: float = 1.0  # fresh weights are low + (high - low) u^power, u uniform in [0, 1)
    weight_norm: float = 0.0  # weights into each target neuron are scaled to this norm before an episode; 0: left alone
    norm_order: int = 1  # 1: the norm is the sum of |w|; 2: the root of the sum of w^2
    plasticity: Plasticity | None = None


def pulse(gain: float, dt: float) -> float:
    """Return the current that carries the charge `gain` of a spike at weight 1 within one step of `dt` ms.

    Currents from outside are currents, and need no such thing: they flow for as long as they are given.
    """
    return gain / dt


def weight_offsets(
    populations: Sequence[Population], projections: Sequence[Projection], num_networks: int
) -> tuple[dict[str, int], int]:
    """Return the address of each projection's first weight in `Network.weights`, and the number of weights there."""
    sizes = {population.name: population.size for population in populations}
    offsets: dict[str, int] = {}
    end = 0
    for projection in projections:
        if not projection.one_to_one:
            offsets[projection.name] = end
            end += num_networks * sizes[projection.source] * sizes[projection.target]
    return offsets, end
