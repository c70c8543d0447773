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


class Connections(NamedTuple):
    """Constants of the projections, (C,) each; see `Projection`."""

    source: Int64  # population
    target: Int64
    offset: Int64  # address of the first weight in `Network.weights`
    gain: Float32  # current of a spike at weight 1 during its step; see `network.pulse`
    one_to_one: Bool
    autapses: Bool
    recurrent: Bool
    plastic: Bool
    head: Int64  # policy head, by which changes are counted
    scale: Float32
    low: Float32
    high: Float32


class Neurons(NamedTuple):
    """State of all neurons, (B, N) each."""

    v: Float32  # mV
    refractory: Float32  # steps left
    theta: Float32  # mV
    current: Float32  # from outside, during the step
    factor: Float32  # third factor
    surrogate: Float32  # pseudo-derivative of the spike, where the rule needs it; see `plasticity.local_scalars`
    pre_fast: Float64  # traces: x, X, y, Y and theta of `ClosedForm`
    pre_slow: Float64
    post_fast: Float64
    post_slow: Float64
    threshold: Float64


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
