"""Answers of networks, judged by compiled loops: what `rewards/` and `plasticity/reward_surprise.py` say in torch.

Axes: B lifetimes, R lifetimes of one call, M images of a pool, N neurons, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined

Array = NDArray[Any]


class Remembered(NamedTuple):
    """What lifetimes remember of their answers; see `ResponseMemory`."""

    wins: Array  # (B, N) float32
    responses: Array  # (B, M, N) int16
    seen: Array  # (B, M) bool
    decay: float  # of the wins, per image that somebody wins


class Worth(NamedTuple):
    """What terms are worth."""

    target: float  # share of neurons that shall fire
    weights: Array  # (3,) of sparsity, diversity and stability
    product: bool  # they are multiplied, not added


@compiled(bare=True)
def find_winners(counts: Array, first: Array, winners: Array) -> None:
    """Fill in the winner of each lifetime, int64 (R,), -1 where nobody spiked.

    Args:
        counts: Spikes of each neuron, int64 (R, N).
        first: Step of the first one, int64 (R, N).
        winners: Filled in.
    """
    for row in range(len(counts)):
        best = -1
        for neuron in range(counts.shape[1]):
            count = counts[row, neuron]
            if count == 0:
                continue
            most = counts[row, best] if best >= 0 else 0
            if count > most or (count == most and first[row, neuron] < first[row, best]):
                best = neuron
        winners[row] = best


@compiled(bare=True)
def judge_answers(
    rows: Array, images: Array, counts: Array, winners: Array, memory: Remembered, worth: Worth, judged: Array
) -> None:
    """Judge one answer of each of the lifetimes `rows`, and remember it.

    Args:
        rows: Lifetimes, int64 (R,).
        images: Place of the image in the lifetime's pool, int64 (R,).
        counts: Spikes of each neuron, int64 (R, N).
        winners: int64 (R,), -1: none.
        memory: Changed in place.
        worth: Of the terms.
        judged: Filled in with reward, sparsity, diversity and stability, float32 (4, R); NaN: no value.
    """
    num_neurons = counts.shape[1]
    keep = np.float32(1.0) - np.float32(1.0 - memory.decay)
    for place in range(len(rows)):
        row, image, winner = rows[place], images[place], winners[place]
        wins, before = memory.wins[row], memory.responses[row, image]
        active, product, now, then, total = 0, 0.0, 0.0, 0.0, 0.0
        for n in range(num_neurons):
            count, earlier = np.float64(counts[place, n]), np.float64(before[n])
            active += count > 0
            product += count * earlier
            now += count * count
            then += earlier * earlier
            before[n] = min(counts[place, n], 32767)
            if winner >= 0:
                wins[n] *= keep
        if winner >= 0:
            wins[winner] += np.float32(1.0)
        for n in range(num_neurons):
            total += wins[n]
        entropy = 0.0
        for n in range(num_neurons):
            share = wins[n] / max(total, 1e-12)
            if share > 0.0:
                entropy -= share * np.log(share)
        away = abs(active / num_neurons - worth.target) / max(worth.target, 1.0 - worth.target)
        judged[1, place] = min(max(1.0 - away, 0.0), 1.0)
        judged[2, place] = min(max(entropy / np.log(num_neurons), 0.0), 1.0) if num_neurons > 1 else 1.0
        judged[3, place] = np.nan
        if memory.seen[row, image]:
            cosine = product / np.sqrt(now * then) if now * then > 0.0 else 0.0
            judged[3, place] = min(max(cosine, 0.0), 1.0)
        memory.seen[row, image] = True
        judged[0, place] = _joined(judged[1:, place], worth)


@inlined()
def _joined(terms: Array, worth: Worth) -> float:
    """Join terms, of which NaN leaves its weight to the others."""
    given, whole = 0.0, 0.0
    for k in range(3):
        whole += worth.weights[k]
        if not np.isnan(terms[k]):
            given += worth.weights[k]
    joined = 1.0 if worth.product else 0.0
    for k in range(3):
        if np.isnan(terms[k]):
            continue
        share = worth.weights[k] / given  # NaN where nothing that has a value counts, as in torch
        if worth.product:
            joined *= np.float64(terms[k]) ** share
        else:
            joined += share * terms[k]
    return whole * joined


@compiled(bare=True)
def judge_classes(
    counts: Array,
    winners: Array,
    labels: Array,
    duration: float,
    alpha_margin: float,
    alpha_spike: float,
    terms: Array,
    rewards: Array,
) -> None:
    """Judge the output spikes of classifiers; see `ClassificationReward`.

    Args:
        counts: Spikes of each output neuron, int64 (R, C).
        winners: Answers, int64 (R,), -1: none.
        labels: Right answers, int64 (R,).
        duration: Length of the judged steps, ms.
        alpha_margin: Weight of the margin.
        alpha_spike: Weight of the rate.
        terms: Filled in with accuracy, margin and rate, float32 (3, R).
        rewards: Filled in, float32 (R,).
    """
    for place in range(len(counts)):
        right, best, total = counts[place, labels[place]], -1, 0
        for k in range(counts.shape[1]):
            total += counts[place, k]
            if k != labels[place]:
                best = max(best, counts[place, k])
        accuracy = 1.0 if winners[place] == labels[place] else 0.0
        margin = (right - best) / duration if best >= 0 else np.inf  # there is no other class
        rate = total / duration / counts.shape[1]
        terms[0, place], terms[1, place], terms[2, place] = accuracy, margin, rate
        rewards[place] = 2.0 * accuracy - 1.0 + alpha_margin * margin - alpha_spike * rate


@inlined()
def compare_reward(row: int, reward: Any, window: float, mean: Array, count: Array) -> Any:
    """Compare a reward of lifetime `row` with those before; see `compare_rewards`."""
    first = count[row] == 0
    surprise = np.float32(0.0) if first else reward - mean[row]
    count[row] += np.float32(1.0)
    step = np.float32(1.0) / min(count[row], np.float32(window))
    mean[row] = reward if first else mean[row] + step * surprise
    return surprise


@compiled(bare=True)
def compare_rewards(rows: Array, rewards: Array, window: float, mean: Array, count: Array, surprise: Array) -> None:
    """Compare rewards with those before; see `RewardSurprise`.

    Args:
        rows: Lifetimes, int64 (R,).
        rewards: What was paid to them, float32 (R,).
        window: Time constant of the mean, in rewards.
        mean: Of the rewards of each lifetime, float32 (B,); changed in place.
        count: Of them, float32 (B,); changed in place.
        surprise: Filled in, float32 (R,).
    """
    for place in range(len(rows)):
        surprise[place] = compare_reward(rows[place], rewards[place], window, mean, count)
