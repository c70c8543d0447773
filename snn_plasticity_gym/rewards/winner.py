"""Winner of a population."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.answers import find_winners
from snn_plasticity_gym.networks.spike_counts import SpikeCounts

NO_WINNER = -1


def winner(spikes: SpikeCounts) -> Tensor:
    """Return the neuron that spiked most; ties go to the earliest spike, then the lowest index.

    Args:
        spikes: Number and first step of the spikes of each neuron, int64 (R, N) both.

    Returns:
        Winners, int64 (R,); NO_WINNER without spikes.
    """
    counts, first_spike = spikes
    if counts.device.type == "cpu":
        winners = np.empty(len(counts), dtype=np.int64)
        find_winners(counts.numpy(), first_spike.numpy(), winners)
        return torch.from_numpy(winners)
    return winner_by_operations(spikes)


def winner_by_operations(spikes: SpikeCounts) -> Tensor:
    """`winner` in torch: for other devices, and as the reference for the compiled version."""
    counts, first_spike = spikes
    most = counts.amax(dim=1, keepdim=True)  # (R, 1)
    never = torch.iinfo(first_spike.dtype).max
    first = first_spike.masked_fill(counts < most, never)  # (R, N)
    earliest = first.amin(dim=1, keepdim=True)  # (R, 1)
    index = ((first == earliest) & (counts == most)).int().argmax(dim=1)  # (R,) the lowest of equals
    return torch.where(most.squeeze(1) > 0, index, NO_WINNER)
