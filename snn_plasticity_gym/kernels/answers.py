"""Rewards of network responses by compiled loops, as `rewards/` and `plasticity/reward_surprise.py` in torch.

Axes: B lifetimes, R lifetimes of one call, M images of a pool, N neurons, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined

Array = NDArray[Any]


class ResponseHistory(NamedTuple):
    """Earlier responses of lifetimes; see `ResponseMemory`."""

    wins: Array  # (B, N) float32
    responses: Array  # (B, M, N) int16
    seen: Array  # (B, M) bool
    decay: float  # of the wins, per image with a winner


class TermWeights(NamedTuple):
    """Weights of the reward terms."""

    target: float  # target share of active neurons
    weights: Array  # (3,) of sparsity, diversity and stability
    product: bool  # product of the terms instead of a sum


@compiled(bare=True)
def find_winners(counts: Array, first: Array, winners: Array) -> None:
    """Compute the winner of each lifetime, int64 (R,), -1 where no neuron spiked.

    Args:
        counts: Spikes of each neuron, int64 (R, N).
        first: Step of the first one, int64 (R, N).
        winners: Output.
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
def unsupervised_rewards(
    rows: Array,
    images: Array,
    counts: Array,
    winners: Array,
    memory: ResponseHistory,
    term_weights: TermWeights,
    results: Array,
) -> None:
    """Compute the reward of one response of each of the lifetimes `rows`, and store the response.

    Args:
        rows: Lifetimes, int64 (R,).
        images: Place of the image in the lifetime's pool, int64 (R,).
        counts: Spikes of each neuron, int64 (R, N).
        winners: int64 (R,), -1: none.
        memory: Changed in place.
        term_weights: Of the terms.
        results: Output: reward, sparsity, diversity and stability, float32 (4, R); NaN: no value.
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
        away = abs(active / num_neurons - term_weights.target) / max(term_weights.target, 1.0 - term_weights.target)
        results[1, place] = min(max(1.0 - away, 0.0), 1.0)
        results[2, place] = min(max(entropy / np.log(num_neurons), 0.0), 1.0) if num_neurons > 1 else 1.0
        results[3, place] = np.nan
        if memory.seen[row, image]:
            cosine = product / np.sqrt(now * then) if now * then > 0.0 else 0.0
            results[3, place] = min(max(cosine, 0.0), 1.0)
        memory.seen[row, image] = True
        results[0, place] = _combine(results[1:, place], term_weights)


@inlined()
def _combine(terms: Array, term_weights: TermWeights) -> float:
    """Combine the terms; the weight of a NaN is distributed to the others."""
    present, whole = 0.0, 0.0
    for k in range(3):
        whole += term_weights.weights[k]
        if not np.isnan(terms[k]):
            present += term_weights.weights[k]
    combined = 1.0 if term_weights.product else 0.0
    for k in range(3):
        if np.isnan(terms[k]):
            continue
        share = term_weights.weights[k] / present  # NaN if all terms with a value have weight 0, as in torch
        if term_weights.product:
            combined *= np.float64(terms[k]) ** share
        else:
            combined += share * terms[k]
    return whole * combined


@compiled(bare=True)
def classification_rewards(
    counts: Array,
    winners: Array,
    labels: Array,
    duration: float,
    alpha_margin: float,
    alpha_spike: float,
    terms: Array,
    rewards: Array,
) -> None:
    """Compute the reward of classifiers' output spikes; see `ClassificationReward`.

    Args:
        counts: Spikes of each output neuron, int64 (R, C).
        winners: Predictions, int64 (R,), -1: none.
        labels: Labels, int64 (R,).
        duration: Duration of the response, ms.
        alpha_margin: Weight of the margin.
        alpha_spike: Weight of the rate.
        terms: Output: accuracy, margin and rate, float32 (3, R).
        rewards: Output, float32 (R,).
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
    """Return the surprise of a reward of lifetime `row`; see `compare_rewards`."""
    first = count[row] == 0
    surprise = np.float32(0.0) if first else reward - mean[row]
    count[row] += np.float32(1.0)
    step = np.float32(1.0) / min(count[row], np.float32(window))
    mean[row] = reward if first else mean[row] + step * surprise
    return surprise


@compiled(bare=True)
def compare_rewards(rows: Array, rewards: Array, window: float, mean: Array, count: Array, surprise: Array) -> None:
    """Compute the surprise of rewards; see `RewardSurprise`.

    Args:
        rows: Lifetimes, int64 (R,).
        rewards: Their rewards, float32 (R,).
        window: Time constant of the mean, in rewards.
        mean: Of the rewards of each lifetime, float32 (B,); changed in place.
        count: Of them, float32 (B,); changed in place.
        surprise: Output, float32 (R,).
    """
    for place in range(len(rows)):
        surprise[place] = compare_reward(rows[place], rewards[place], window, mean, count)
