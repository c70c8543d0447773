"""Updates of histories and weights in a time step, as compiled loops.

Axes: E events, N neurons, W words of a history.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined

Array = NDArray[Any]


@compiled()
def push_bits(windows: Array, spikes: Array, length: int) -> None:
    """Shift int64 windows (N, W) by one step with spikes, bool (N,); see `spike_history.push`."""
    words = windows.shape[1]
    rest = length & 63
    last = (1 << rest) - 1 if rest else -1
    for neuron in range(len(spikes)):
        carry = np.int64(spikes[neuron])
        for word in range(words):
            bits = windows[neuron, word]
            windows[neuron, word] = (bits << 1) | carry
            carry = (bits >> 63) & 1
        windows[neuron, words - 1] &= last


@compiled(bare=True)
def add_changes(changes: Array, sums: Array) -> int:
    """Add statistics of weight changes of B lifetimes in M images, float64 (M, B, 4, heads), to `sums` (4, heads).

    Returns:
        The first lifetime with NaN, and nothing is added from that image on; -1: none.
    """
    for image in changes:
        for lifetime in range(len(image)):
            for value in image[lifetime].flat:
                if np.isnan(value):
                    return lifetime
        for k in range(sums.shape[0]):
            for head in range(sums.shape[1]):
                total = 0.0
                for lifetime in range(len(image)):
                    total += image[lifetime, k, head]
                sums[k, head] += total
    return -1


@compiled()
def write_weights(
    delta_d: Array,
    synapse: Array,
    before: Array,
    projection: Array,
    group: Array,
    scale: Array,
    w_min: Array,
    w_max: Array,
    weights: Array,
    sums: Array,
    change: Array,
) -> bool:
    """Set w <- clip(w + scale * clip(delta_d, -1, 1), w_min, w_max).

    Args:
        delta_d: Normalised weight change of each event, (E,).
        synapse: Its address, (E,).
        before: Its weight before, (E,).
        projection: (E,).
        group: Policy head, (E,).
        scale: Weight change of delta_d = 1, (projections,).
        w_min: Smallest weight, (projections,).
        w_max: Largest weight, (projections,).
        weights: All weights, changed in place.
        sums: Count, sum, squares and rises of the changes made, float64 (4, heads); added to.
        change: Output: requested change, (E,).

    Returns:
        False, with nothing done, where an entry of `delta_d` is not finite.
    """
    for at in range(len(delta_d)):
        if not np.isfinite(delta_d[at]):
            return False
    for at in range(len(delta_d)):
        of, head = projection[at], group[at]
        change[at] = scale[of] * min(max(delta_d[at], np.float32(-1.0)), np.float32(1.0))
        weight = min(max(before[at] + change[at], w_min[of]), w_max[of])
        weights[synapse[at]] = weight
        made = np.float64(weight - before[at])
        sums[0, head] += 1.0
        sums[1, head] += made
        sums[2, head] += made * made
        sums[3, head] += made > 0.0
    return True


# Sums of changes may be added up in any order, so that the loop becomes vector instructions.
@inlined(fast_sums=True)
def release_row(
    row: Array, eligibility: Array, modulator: Array, low: float, high: float, left: float, sums: Array
) -> None:
    """Do what `release_held` does for the synapses of one pre neuron; `modulator`: m of each post neuron, (n_post,)."""
    total, squares = np.float32(0.0), np.float32(0.0)
    count = rises = np.int32(0)
    for post in range(len(row)):
        trace, before = eligibility[post], row[post]
        after = before + modulator[post] * trace
        after = low if after < low else after
        after = high if after > high else after
        after = before if trace == 0.0 else after
        row[post], eligibility[post] = after, left * trace
        change = after - before
        count += np.int32(trace != 0.0)
        total += change
        squares += change * change
        rises += np.int32(change > 0.0)
    sums[0] += count
    sums[1] += total
    sums[2] += squares
    sums[3] += rises


@compiled()
def release_held(
    weights: Array, eligibility: Array, rows: Array, modulator: Array, low: float, high: float, left: float, sums: Array
) -> None:
    """Set w <- clip(w + m e, low, high) where e is not 0, and then e <- left * e.

    Args:
        weights: Of one projection, (B, n_pre, n_post), changed in place.
        eligibility: Its eligibility traces e, (B, n_pre, n_post), changed in place.
        rows: Lifetimes, (R,).
        modulator: m of each post neuron, (R, n_post).
        low: Smallest weight.
        high: Largest weight.
        left: Remaining share of a trace.
        sums: Count, sum, squares and rises of the changes made, float64 (4,); added to.
    """
    low, high, left = np.float32(low), np.float32(high), np.float32(left)
    for place in range(len(rows)):
        for pre in range(weights.shape[1]):
            row, traces = weights[rows[place], pre], eligibility[rows[place], pre]
            release_row(row, traces, modulator[place], low, high, left, sums)


@compiled()
def look_up_post(
    synapse: Array,
    projection: Array,
    offset: Array,
    synapses: Array,
    width: Array,
    start: Array,
    values: Array,
    found: Array,
) -> None:
    """Look up a value of the postsynaptic neuron of each event.

    Synapses of a fan are in a row or a column of the weights, so few addresses have to be divided.

    Args:
        synapse: Address of each event's synapse, offset + (lifetime * n_pre + pre) * n_post + post, (E,).
        projection: Its projection, (E,).
        offset: Address of each projection's first synapse, (projections,).
        synapses: n_pre * n_post of each, (projections,).
        width: n_post of each, (projections,).
        start: Start of the values of each target's neurons, lifetime after lifetime, (projections,).
        values: Of all neurons.
        found: Output, (E,).
    """
    last, p, post = np.int64(-1), np.int64(-1), np.int64(0)
    first, end, base = np.int64(0), np.int64(0), np.int64(0)  # addresses of this lifetime, and index of its values
    for event in range(len(synapse)):
        address = synapse[event]
        if projection[event] != p or address < first or address >= end:
            p = projection[event]
            lifetime = (address - offset[p]) // synapses[p]
            first = offset[p] + lifetime * synapses[p]
            end, base = first + synapses[p], start[p] + lifetime * width[p]
            post = (address - first) % width[p]
        elif address == last + 1 and post + 1 < width[p]:
            post += 1
        elif address != last + width[p]:
            post = (address - first) % width[p]
        last = address
        found[event] = values[base + post]
