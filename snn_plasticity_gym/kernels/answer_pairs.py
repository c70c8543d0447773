"""Pairs of presentations of a lifetime by compiled loops, as `rewards/information.py` counts them in torch.

Axes: B lifetimes, R presentations of one call, M images of a pool, I images with an index, N neurons.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]


class PairTables(NamedTuple):
    """The state of `AnswerPairs`; it changes in place."""

    place: Array  # (B, M) int64, index of each image; -1: not presented yet
    seen: Array  # (B,) int64, images with an index
    answers: Array  # (B, I, N + 1) float64, weights of the winners for each image; the last column is silence
    last: Array  # (B, I) int64, when each image was presented last
    now: Array  # (B,) int64, presentations so far
    totals: Array  # (B, N + 1) float64, weights of the winners for all images
    pairs: Array  # (4, B) float64, weights of the pairs; see `Pairs`
    decay: float  # of a presentation's weight, for every later one


@compiled(bare=True)
def information_of_winners(
    begin: int, rows: Array, images: Array, winners: Array, tables: PairTables, no_pairs: float, results: Array
) -> int:
    """Pair winners with the earlier ones of their lifetimes, one after the other, and compute the information so far.

    Args:
        begin: First of the presentations that are left.
        rows: Their lifetimes, int64 (R,); one may come several times.
        images: Place of each image in the lifetime's pool, int64 (R,).
        winners: int64 (R,), -1: silence.
        tables: Changed in place.
        no_pairs: Weight below which there are no pairs.
        results: Output: information after each presentation, float32 (R,).

    Returns:
        R; or the first presentation that finds no room for its image in `answers` and `last`, and is left.
    """
    num_neurons = tables.totals.shape[1] - 1
    scale = np.log(max(num_neurons, 2))
    for k in range(begin, len(rows)):
        row, winner = rows[k], winners[k]
        place = tables.place[row, images[k]]
        fresh = place < 0
        if fresh:
            place = tables.seen[row]
            if place >= tables.last.shape[1]:
                return k
            tables.place[row, images[k]] = place
            tables.seen[row] += 1
        tables.now[row] += 1
        to_image, to_all = tables.answers[row, place], tables.totals[row]
        faded = 0.0 if fresh else tables.decay ** np.float64(tables.now[row] - tables.last[row, place])
        tables.last[row, place] = tables.now[row]
        any_image, any_all = 0.0, 0.0
        for n in range(num_neurons + 1):
            to_image[n] *= faded
            to_all[n] *= tables.decay
            any_image += to_image[n]
            any_all += to_all[n]
        answer = winner if winner >= 0 else num_neurons
        same, keep = tables.pairs[:, row], tables.decay**2
        same[0] = keep * same[0] + any_image
        same[1] = keep * same[1] + (to_image[answer] if winner >= 0 else 0.0)
        same[2] = keep * same[2] + (any_all - any_image)
        same[3] = keep * same[3] + (to_all[answer] - to_image[answer])
        to_image[answer] += 1.0
        to_all[answer] += 1.0
        results[k] = 0.0
        if same[0] > no_pairs and same[2] > no_pairs:
            ratio = max(same[1] / max(same[0], no_pairs), 1e-9) / max(same[3] / max(same[2], no_pairs), 1e-9)
            results[k] = min(max(np.log(ratio) / scale, 0.0), 1.0)
    return len(rows)
