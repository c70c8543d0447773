"""One time step of a population as compiled loops: `Network.advance` on the CPU, the same numbers as in torch.

Axes: R networks of the call, N neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined

Array = NDArray[Any]


@compiled()
def add_rows(
    spikes: Array, networks: Array, weights: Array, offset: int, gain: np.floating[Any], total: Array, current: Array
) -> None:
    """Add the current from the spikes of a source population to each target neuron.

    Args:
        spikes: Of the source, bool (R, n_pre).
        networks: Which networks the R rows are, (R,).
        weights: All weights; the projection's begin at `offset`, (B, n_pre, n_post).
        offset: See there.
        gain: Current per unit of weight, during this step; see `networks.populations.pulse`.
        total: Workspace for a sum of weights, (n_post,).
        current: Added to, (R, n_post).
    """
    n_pre, n_post = spikes.shape[1], current.shape[1]
    for row in range(len(spikes)):
        total[:] = 0.0
        fired = False
        for pre in range(n_pre):
            if spikes[row, pre]:
                fired = True
                first = offset + (networks[row] * n_pre + pre) * n_post
                for post in range(n_post):
                    total[post] += weights[first + post]
        if fired:
            for post in range(n_post):
                current[row, post] += gain * total[post]


@compiled()
def add_own(spikes: Array, gain: np.floating[Any], current: Array) -> None:
    """Add `gain` to the current (R, N) of each neuron whose counterpart in the source fired, bool (R, N)."""
    for row in range(len(spikes)):
        for neuron in range(spikes.shape[1]):
            if spikes[row, neuron]:
                current[row, neuron] += gain


@compiled()
def lif_loop(
    current: Array,
    v: Array,
    refractory: Array,
    theta: Array,
    constants: Array,
    one_spike: bool,
    potential: Array,
    spikes: Array,
) -> None:
    """Do what `lif.integrate` and `lif.fire` do, one neuron after the other.

    Args:
        current: (R, N).
        v: Membrane potential, (R, N); changed in place, as the next two.
        refractory: Steps left until the neuron may fire again, (R, N).
        theta: Adaptive part of the threshold, (R, N).
        constants: As `lif_constants` returns them.
        one_spike: See `LIFParams`.
        potential: Output: the membrane potential before the reset, (R, N).
        spikes: Output, bool (R, N).
    """
    rate, v_rest, v_reset, v_th, resistance, silent_steps, decay, theta_plus, v_min = constants
    one, nothing = constants.dtype.type(1), constants.dtype.type(0)
    for row in range(len(v)):
        best, winner = nothing, -1
        for neuron in range(v.shape[1]):
            waits = silent_steps > nothing and refractory[row, neuron] > nothing
            drive = nothing if waits else resistance * current[row, neuron]
            reached = max(v[row, neuron] + rate * (v_rest - v[row, neuron] + drive), v_min)
            excess = reached - v_th - theta[row, neuron]
            potential[row, neuron] = reached
            spikes[row, neuron] = excess > nothing and not waits
            if spikes[row, neuron] and (winner < 0 or excess > best):
                best, winner = excess, neuron
        for neuron in range(v.shape[1]):
            if one_spike:
                spikes[row, neuron] = neuron == winner
            fired = spikes[row, neuron]
            v[row, neuron] = v_reset if fired else potential[row, neuron]
            if silent_steps > nothing:
                left = max(refractory[row, neuron] - one, nothing)
                refractory[row, neuron] = silent_steps if fired else left
            if theta_plus > nothing:
                theta[row, neuron] = theta[row, neuron] * decay + (theta_plus if fired else nothing)


@compiled()
def scale_columns(
    weights: Array,
    rows: Array,
    shape: tuple[int, int],
    order: float,
    wanted: float,
    low: float,
    high: float,
    norm: Array,
) -> None:
    """Scale the weights of a projection into each target neuron to a norm, and clip them; in place.

    Args:
        weights: Of a projection, (B * n_pre * n_post,).
        rows: Networks, (R,).
        shape: n_pre, n_post.
        order: Of the norm.
        wanted: The norm; weights that are all 0 stay 0.
        low: Smallest weight.
        high: Largest weight.
        norm: Workspace for the norms, float64 (n_post,).
    """
    for row in rows:
        scale_to_norm(weights, row * shape[0] * shape[1], shape[0], shape[1], order, wanted, low, high, norm)


@inlined()
def scale_to_norm(
    weights: Array,
    first: int,
    n_pre: int,
    n_post: int,
    order: float,
    wanted: float,
    low: float,
    high: float,
    norm: Array,
) -> None:
    """Do what `scale_columns` does with the (n_pre, n_post) weights of one network, from address `first` on."""
    norm[:n_post] = 0.0
    for pre in range(n_pre):
        for post in range(n_post):
            size = abs(np.float64(weights[first + pre * n_post + post]))
            norm[post] += size if order == 1 else size * size if order == 2 else size**order
    for post in range(n_post):
        norm[post] = wanted / max(norm[post] ** (1.0 / order), 1e-12)
    for pre in range(n_pre):
        for post in range(n_post):
            place = first + pre * n_post + post
            weights[place] = min(max(weights[place] * norm[post], low), high)
