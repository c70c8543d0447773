"""The front's table looked up by a compiled loop: `FrozenFront` on the CPU.

Axes: H histories, W words of each, P pairs, K steps, S windows, C2 features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]


@compiled()
def sum_windows(
    histories: Array,
    pre: Array,
    post: Array,
    history_length: int,
    margin: int,
    shift: Array,
    first: Array,
    row_offset: Array,
    silent: Array,
    alone: Array,
    both: Array,
    features: Array,
) -> None:
    """Fill in h of every pair, the sum of its windows' values.

    Args:
        histories: Bit windows, int64 (H, W); see `history`.
        pre: Row of each pair's pre neuron, (P,).
        post: Row of each pair's post neuron, (P,).
        history_length: K.
        margin: As the next three of `front_table.WindowTable`.
        shift: See there.
        first: See there.
        row_offset: See there.
        silent: h of a silent pair, (C2,).
        alone: What a window adds as pre and as post, (S, 2 * C2).
        both: What two windows that are alive add beyond that, by row of the pair table, (rows, C2).
        features: Filled in, (P, C2).
    """
    width = len(silent)
    size = 2 * margin + 1
    number = np.zeros((len(histories), history_length), np.int32)  # window at each position, 0 where silent
    positions = np.empty((len(histories), history_length), np.int32)  # where it is not
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
