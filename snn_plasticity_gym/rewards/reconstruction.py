"""Reconstruction of an image from its winner's input weights.

Axes: R lifetimes, P inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.rewards.winner import NO_WINNER


def explained(inputs: Tensor, weights: Tensor, winners: Tensor) -> Tensor:
    """Return the share of the input that the winner's weights explain: 1 - min_a |x - a w|^2 / |x|^2.

    This is the squared cosine of x and w; the scale a is free, since homeostasis sets the sum of weights. Its mean over
    images is what vector quantisation maximises, as k-means does with weights as centres (Linde, Buzo & Gray, An
    algorithm for vector quantizer design, 1980; on spheres: Dhillon & Modha, Concept decompositions for large sparse
    text data using clustering, 2001). It needs no labels.

    Args:
        inputs: Spikes of each input, x, (R, P).
        weights: Input weights of each lifetime's winner, w, (R, P); any values where there is no winner.
        winners: Winner of each lifetime, int64 (R,), or NO_WINNER.

    Returns:
        float32 (R,), in [0, 1]; 0 without a winner, without input spikes, or with weights of 0.
    """
    cosine = torch.cosine_similarity(inputs.float(), weights, dim=1).clamp(-1.0, 1.0)  # (R,)
    return cosine.square() * (winners != NO_WINNER)
