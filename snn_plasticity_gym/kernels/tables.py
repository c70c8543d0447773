"""Data of the compiled loops: constants and state of networks as plain arrays.

Axes: B lifetimes, N neurons of all populations, concatenated, P populations, C connections.
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
Bytes = NDArray[np.uint8]


class Populations(NamedTuple):
    """Constants of the populations, (P,) each; see `LIFParams`."""

    start: Int64  # index of the first neuron among N
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
    group_size: Int64  # neurons of a winner-take-all group; 0: no groups
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
    head: Int64  # policy head, for the statistics of changes
    scale: Float32
    low: Float32
    high: Float32
    norm: Float64  # to which weights into each neuron are scaled before an image; 0: they are not
    norm_order: Float64


class Neurons(NamedTuple):
    """State of all neurons, (B, N) each; all but theta is reset at the start of an image."""

    v: Float32  # mV
    refractory: Float32  # steps left
    theta: Float32  # mV, persists over images
    compared: Float32  # mV, theta of the comparison in this step
    potential: Float32  # mV, before the reset
    current: Float32  # external, during the step
    factor: Float32  # third factor
    threshold: Float64  # theta of `ClosedForm`


class InputSpikes(NamedTuple):
    """Spikes of the inputs for S distinct stimuli."""

    stimulus: Int64  # (B,) stimulus of each lifetime
    start: Int64  # (S, T + 1) start of each step in `neuron`
    neuron: Int64  # index among N, ascending within a step


class StepFactor(NamedTuple):
    """Third factors that change from step to step; see `plasticity.third_factors`."""

    begin: int  # first step with factors
    target: int  # target of teaching, or source of the error; -1: constant within an image
    wanted: Float32  # (B, C) target output of its neurons
    teaching: float  # current per unit of `wanted`
    sends: bool  # the error is projected back
    alpha: float  # of the softmax, times rates per ms
    dt: float  # ms
    reaches: Int64  # (L,) populations that receive the error
    offset: Int64  # (L,) start of the weights of each
    weights: Float32  # fixed random ones, (B, C, N) of each population, concatenated


class Networks(NamedTuple):
    """The networks of B lifetimes, and their stimuli."""

    populations: Populations
    connections: Connections
    neurons: Neurons
    weights: Float32  # of all synapses of all lifetimes
    inputs: InputSpikes
    factor: StepFactor
    keys: UInt64  # (B,) of the random numbers of groups
    watched: int  # connection whose weights into the winner are recorded; -1: none


class Trail(NamedTuple):
    """Record of an image of one lifetime for gradient teaching; without connections (C = 0) there is none.

    N counts the neurons of all populations, W the synapses between computed ones.
    """

    totals: Float64  # (C, 2) number of events, and sum of squares of the requested changes
    requested: Float32  # (T, N) sum of requested changes of each post neuron's synapses whose pre neuron fired
    rises: Int32  # (T, N) how many of these were above 0
    falls: Int32  # (T, N) how many were below
    potentials: Float32  # (T, N) mV, before the reset
    weights: Float32  # (T, W) before the changes of each step
    first: Int64  # (C,) start of each projection among W; -1: not recorded


class ImageRecord(NamedTuple):
    """Record of an image."""

    raster: Bool  # (B, T, N)
    counts: Int64  # (B, N) spikes
    first: Int64  # (B, N) step of the first one, 0 where there is none
    totals: Int64  # (P, B) spikes of each population
    num_events: Int64  # (B,)
    changes: Float64  # (B, 4, heads) number, sum, squares and rises of weight changes; see `WeightChanges`
    winner_weights: Float32  # (B, n_pre) of `Networks.watched` at the image's end; 0 where no neuron won
    trail: Trail


class Learning(NamedTuple):
    """Settings of weight updates."""

    window: int  # steps of a history
    at_pre: bool  # whether pre spikes are events
    at_post: bool  # whether post spikes are events
    pace: Float32  # (B,) factor of the learning rates by the age of each lifetime
    eligibility: Float32  # one per weight, to which changes are added; without entries they change the weights
    keep: Float32  # (T,) remaining share of a change of each step at the image's end


class ImageSeries(NamedTuple):
    """Tables of M images that every lifetime is shown one after the other, with an axis for them in front."""

    networks: Networks  # `inputs.stimulus` is (M, B)
    frozen: Networks  # the same with adaptive thresholds that stay as they are
    learning: Learning  # `pace` is (M, B)
    record: ImageRecord  # (M, ...) but for `raster` and `trail`, which are of the last image


class ClosedForm(NamedTuple):
    """Coefficients of the formula in `rules/closed_form.py`; the defaults have no effect. tau <= 0: no such trace."""

    dt: float = 1.0  # ms
    scale: float = 1.0  # weight change of delta_d = 1
    w_max: float = 1.0
    tau_pre_fast: float = 0.0  # ms, of x
    tau_pre_slow: float = 0.0  # ms, of X
    tau_post_fast: float = 0.0  # ms, of y
    tau_post_slow: float = 0.0  # ms, of Y
    tau_theta: float = 0.0  # ms, of theta
    nearest: bool = False  # traces use the last spike only
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
    factor_trace: bool = False  # the factor is multiplied by x, the pre trace
    factor_surrogate: bool = False  # and by the post neuron's surrogate
    factor_at_post: bool = False  # at post spikes, too
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    bounded: bool = False
    soft: bool = False
    signed: bool = False  # the rule changes w, not |w|
    fixed_inhibition: bool = False  # negative weights are not plastic
    smallest: float = 0.0  # |w| at which depression stops
