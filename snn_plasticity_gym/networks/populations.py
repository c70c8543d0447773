"""Components of a network: populations of neurons, and projections of synapses between them.

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
"""Draws initial weights (n_pre, n_post) from a random stream and their shape."""


class Plasticity(NamedTuple):
    """Plasticity of a projection's weights: w <- clip(w + scale * delta_d, w_min, w_max)."""

    group: int  # policy head of its synapses
    scale: float  # weight change of delta_d = 1: learning rate eta of the synapse type, times alpha
    w_min: float
    w_max: float


UNLIMITED = Plasticity(0, 0.0, -math.inf, math.inf)


@dataclass(frozen=True)
class Population:
    """A population of neurons. Without `lif` it is an input: its spikes are given, not computed.

    With `groups` they are winner-take-all groups, without the thresholds, resets and refractory periods of `lif`; see
    `networks/groups.py`.
    """

    name: str
    size: int
    lif: LIFParams | None = None
    groups: Groups | None = None


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to another.

    Weights are dimensionless; `gain` turns a weight into the charge of a spike, in units of current times ms: one spike
    changes the potential by resistance / tau_mem * gain * weight, in mV, whatever the time step (`pulse`). A
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
    initial: tuple[float, float] | Initial = (0.0, 1.0)  # interval of initial weights, or a function that draws them
    initial_power: float = 1.0  # initial weights are low + (high - low) u^power, u uniform in [0, 1)
    weight_norm: float = 0.0  # weights into each target neuron are scaled to this norm before an episode; 0: off
    norm_order: int = 1  # 1: the norm is the sum of |w|; 2: the root of the sum of w^2
    plasticity: Plasticity | None = None


def pulse(gain: float, dt: float) -> float:
    """Return the current of a spike of charge `gain` at weight 1 within one step of `dt` ms.

    External currents are not converted.
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
