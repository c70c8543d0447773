"""Spike counts of an episode.

Axes: R lifetimes of one call, T steps, N neurons.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]


class SpikeCounts(NamedTuple):
    """Spike count and first spike of each neuron."""

    counts: Tensor  # int64 (R, N)
    first: Tensor  # int64 (R, N), step of the first spike; 0 for silent neurons


def count_spikes(raster: Tensor) -> SpikeCounts:
    """Count the spikes of each neuron.

    Args:
        raster: Spikes, bool (R, T, N).
    """
    if raster.device.type != "cpu":
        return SpikeCounts(raster.sum(dim=1), raster.int().argmax(dim=1))
    counts = torch.zeros(len(raster), raster.shape[2], dtype=torch.int64)  # (R, N)
    first = torch.zeros_like(counts)
    _count(raster.numpy(), counts.numpy(), first.numpy())
    return SpikeCounts(counts, first)


def total_spikes(raster: Tensor) -> Tensor:
    """Return the number of all spikes of each lifetime, int64 (R,), of a raster, bool (R, T, N)."""
    if raster.device.type != "cpu":
        return raster.sum(dim=(1, 2))
    return torch.tensor([np.count_nonzero(spikes) for spikes in raster.numpy()])  # counts bytes, not numbers


def rates_of(counts: Tensor, steps: Tensor, dt: float) -> Tensor:
    """Return spikes per ms, float32 (R, N), of counts, int64 (R, N) on the CPU, in so many steps (R,) of `dt` ms."""
    rates = np.empty(counts.shape, dtype=np.float32)
    _divide(counts.numpy(), steps.numpy(), np.float32(dt), rates)
    return torch.from_numpy(rates)


@compiled()
def _divide(counts: Array, steps: Array, dt: Any, rates: Array) -> None:
    for row in range(len(counts)):
        duration = np.float32(steps[row]) * dt
        for neuron in range(counts.shape[1]):
            rates[row, neuron] = np.float32(counts[row, neuron]) / duration


@compiled()
def _count(raster: Array, counts: Array, first: Array) -> None:
    """Add to `counts` and set `first`, both int64 (R, N) and 0 before."""
    num_rows, num_steps, num_neurons = raster.shape
    for row in range(num_rows):
        for step in range(num_steps):
            for neuron in range(num_neurons):
                if raster[row, step, neuron]:
                    if counts[row, neuron] == 0:
                        first[row, neuron] = step
                    counts[row, neuron] += 1
