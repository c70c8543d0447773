"""Compiled look-up in the front's table: `FrozenFront` on the CPU.

Axes: H histories, W words of each, P pairs, K steps, S windows, C2 features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]


class PairHistories(NamedTuple):
    """Spike histories, and the two of each pair."""

    histories: Array  # (H, W) int64 bit windows; see `spike_history`
    pre: Array  # (P,) row of each pair's pre neuron
    post: Array  # (P,)
    length: int  # K


class WindowAddresses(NamedTuple):
    """Columns of `front_table.WindowTable` that the loop uses."""

    margin: int
    shift: Array
    first: Array
    row_offset: Array


class WindowValues(NamedTuple):
    """Values of windows, all divided by K."""

    silent: Array  # (C2,) h of a silent pair
    alone: Array  # (S, 2 * C2) contribution of a window as pre and as post
    both: Array  # (rows, C2) further contribution of two active windows, by row of the pair table


@compiled()
def sum_windows(pairs: PairHistories, table: WindowAddresses, values: WindowValues, features: Array) -> None:
    """Compute h of every pair, (P, C2), the sum of its windows' values."""
    histories, pre, post, history_length = pairs
    margin, shift, first, row_offset = table
    silent, alone, both = values
    width = len(silent)
    size = 2 * margin + 1
    number = np.zeros((len(histories), history_length), np.int32)  # window at each position, 0 where silent
    positions = np.empty((len(histories), history_length), np.int32)  # where it is not silent
    counts = np.zeros(len(histories), np.int64)
    sums = np.zeros((len(histories), 2 * width), both.dtype)
    mask = (1 << size) - 1
    for row in range(len(histories)):
        code = 0
        for step in range(history_length + margin):  # the window's newest step
            age = history_length - 1 - step
            bit = (histories[row, age >> 6] >> (age & 63)) & 1 if age >= 0 else 0
            code = ((code << 1) | bit) & mask
            at = step - margin
            if at >= 0 and code >> shift[at] != 0:
                window = (code >> shift[at]) + first[at]
                number[row, at] = window
                positions[row, counts[row]] = at
                counts[row] += 1
                for feature in range(2 * width):
                    sums[row, feature] += alone[window, feature]
    for pair in range(len(pre)):
        a, b = pre[pair], post[pair]
        for feature in range(width):
            features[pair, feature] = silent[feature] + sums[a, feature] + sums[b, width + feature]
        fewer, other = (a, b) if counts[a] < counts[b] else (b, a)
        for place in range(counts[fewer]):
            at = positions[fewer, place]
            if number[other, at] != 0:
                entry = row_offset[number[a, at]] + number[b, at]
                for feature in range(width):
                    features[pair, feature] += both[entry, feature]
