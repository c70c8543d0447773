"""What the compiled loops work on: constants and state of networks as plain arrays.

Axes: B lifetimes, N neurons of all populations one after the other, P populations, C connections.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]


class Populations(NamedTuple):
    """Constants of the populations, (P,) each; see `LIFParams`."""

    start: Int64  # place of the first neuron among N
    size: Int64
    computed: Bool  # False: an input, whose spikes are given
    leak: Float32  # dt / tau_mem
    v_rest: Float32  # mV
    v_reset: Float32  # mV
    v_th: Float32  # mV
    distance: Float32  # mV, v_th - v_rest
    v_min: Float32  # mV
    resistance: Float32  # mV per unit of current
    silent_steps: Float32  # refractory period
    theta_plus: Float32  # mV
    theta_decay: Float32  # factor per step
    one_spike: Bool
    group_size: Int64  # neurons of a winner-take-all group; 0: there are none
    group_width: Float64  # mV, of its softmax
    of_neuron: Int64  # (N,) the population of each neuron


class Connections(NamedTuple):
    """Constants of the projections, (C,) each; see `Projection`."""

    source: Int64  # population
    target: Int64
    offset: Int64  # address of the first weight in `Network.weights`
    gain: Float32  # current of a spike at weight 1 during its step; see `networks.populations.pulse`
    one_to_one: Bool
    autapses: Bool
    recurrent: Bool
    plastic: Bool
    head: Int64  # policy head, by which changes are counted
    scale: Float32
    low: Float32
    high: Float32


class Neurons(NamedTuple):
    """State of all neurons, (B, N) each; what does not outlive an image is set when one begins."""

    v: Float32  # mV
    refractory: Float32  # steps left
    theta: Float32  # mV, outlives the image
    compared: Float32  # mV, theta with which the potential was compared in this step
    potential: Float32  # mV, before the reset
    current: Float32  # from outside, during the step
    factor: Float32  # third factor
    threshold: Float64  # theta of `ClosedForm`


class InputSpikes(NamedTuple):
    """Spikes of the inputs for S distinct stimuli."""

    stimulus: Int64  # (B,) which of them each lifetime is shown
    start: Int64  # (S, T + 1) where those of each step begin in `neuron`
    neuron: Int64  # place among N, ascending within a step


class StepFactor(NamedTuple):
    """Third factors that change from step to step; see `plasticity.third_factors`."""

    begin: int  # step from which on they are there
    target: int  # population that is taught, or whose error is sent back; -1: nothing changes within an image
    wanted: Float32  # (B, C) what its neurons are taught, or should answer
    teaching: float  # current per unit of `wanted`
    sends: bool  # the error is sent back
    alpha: float  # of the softmax, times rates per ms
    dt: float  # ms
    reaches: Int64  # (L,) populations that the error is sent to
    offset: Int64  # (L,) where the weights of each begin
    weights: Float32  # fixed random ones, (B, C, N) of each population, one after the other


class Lives(NamedTuple):
    """The networks of B lifetimes, and what they are shown."""

    populations: Populations
    connections: Connections
    neurons: Neurons
    weights: Float32  # of all synapses of all lifetimes
    inputs: InputSpikes
    factor: StepFactor
    keys: UInt64  # (B,) of the random numbers of groups


class Trail(NamedTuple):
    """What a teacher looks at after an image of one lifetime; without connections (C = 0) there is no teacher.

    N counts the neurons of all populations, W the synapses between computed ones.
    """

    totals: Float64  # (C, 2) number of events, and sum of the squares of the changes that they asked for
    asked: Float32  # (T, N) sum of the changes asked of the synapses of each post neuron whose pre neuron fired
    rises: Int32  # (T, N) how many of these were above 0
    falls: Int32  # (T, N) how many were below
    potentials: Float32  # (T, N) mV, before the reset
    weights: Float32  # (T, W) before the changes of each step
    first: Int64  # (C,) where those of each projection begin among W; -1: they are not kept


class Shown(NamedTuple):
    """What is kept of an image."""

    raster: Bool  # (B, T, N)
    counts: Int64  # (B, N) spikes
    first: Int64  # (B, N) step of the first one, 0 where there is none
    totals: Int64  # (P, B) spikes of each population
    num_events: Int64  # (B,)
    changes: Float64  # (B, 4, heads) number, sum, squares and rises of weight changes; see `WeightChanges`
    trail: Trail


class Learning(NamedTuple):
    """How weights follow what a rule answers."""

    window: int  # steps that a history goes back
    at_pre: bool  # whether synapses answer pre spikes
    at_post: bool  # whether they answer post spikes
    pace: Float32  # (B,) share of the learning rates that the age of each lifetime leaves
    held: Float32  # eligibility, one per weight, to which changes are added; without entries they change the weights
    keep: Float32  # (T,) share of a change of each step that is left of it at the image's end


class ClosedForm(NamedTuple):
    """Coefficients of the formula in `rules/closed_form.py`; the defaults do nothing. tau <= 0: no such trace."""

    dt: float = 1.0  # ms
    scale: float = 1.0  # weight change that delta_d = 1 stands for
    w_max: float = 1.0
    tau_pre_fast: float = 0.0  # ms, of x
    tau_pre_slow: float = 0.0  # ms, of X
    tau_post_fast: float = 0.0  # ms, of y
    tau_post_slow: float = 0.0  # ms, of Y
    tau_theta: float = 0.0  # ms, of theta
    nearest: bool = False  # traces count the last spike only
    coincident: bool = False
    p: float = 0.0
    p_fast: float = 0.0
    p_slow: float = 0.0
    p_theta: float = 0.0
    q: float = 0.0
    r: float = 0.0
    s: float = 0.0
    s_slow: float = 0.0
    g: float = 0.0
    factor_trace: bool = False  # the factor acts times x, the pre trace
    factor_surrogate: bool = False  # and times the post neuron's surrogate
    factor_at_post: bool = False  # at post spikes, too
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    bounded: bool = False
    soft: bool = False
    signed: bool = False  # the rule moves w, not |w|
    fixed_inhibition: bool = False  # negative weights do not learn
    smallest: float = 0.0  # |w| at which depression stops
