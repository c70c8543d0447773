"""Images to spike trains."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.compile import compiled


class SpikeTrain(NamedTuple):
    """Spikes of N neurons in T steps as a list."""

    start: NDArray[np.int64]  # (T + 1,) where those of each step begin
    neuron: NDArray[np.int64]  # who fires, ascending within a step
    size: int  # N

    @classmethod
    def of(cls, spikes: Tensor) -> SpikeTrain:
        """List the spikes of a bool tensor (T, N)."""
        step, neuron = np.nonzero(spikes.numpy())
        return cls(np.searchsorted(step, np.arange(len(spikes) + 1)), neuron, spikes.shape[1])

    def dense(self) -> Tensor:
        """Return the spikes as bool (T, N)."""
        spikes = torch.zeros(len(self.start) - 1, self.size, dtype=torch.bool)
        spikes.numpy()[np.repeat(np.arange(len(spikes)), np.diff(self.start)), self.neuron] = True
        return spikes


def poisson_encode(image: Tensor, num_steps: int, chance: float, rng: np.random.Generator) -> Tensor:
    """Do what `poisson_train` does, and return the spikes as bool (T, N)."""
    return poisson_train(image.numpy(), num_steps, chance, rng).dense()


def poisson_train(pixels: NDArray[Any], num_steps: int, chance: float, rng: np.random.Generator) -> SpikeTrain:
    """Draw independent Bernoulli spikes whose probability per step is intensity * chance.

    The discrete form of a Poisson spike train (Diehl & Cook 2015, section 2.4: 63.75 Hz for a white pixel).

    Args:
        pixels: Intensities in [0, 1], (N,).
        num_steps: Length T of the train.
        chance: Spike probability per step of a white pixel, in [0, 1]: its rate times the length of a step.
        rng: Source of randomness; NumPy's, so that a seed means the same spikes on every device.
    """
    lit, threshold = _lit(pixels, pixels.dtype.type(chance))  # (L,) black pixels never fire: no numbers are drawn
    uniform = rng.random((num_steps, len(lit)), dtype=np.float32)  # (T, L)
    start, neuron = np.empty(num_steps + 1, np.int64), np.empty(uniform.size, np.int64)
    count = _list_below(uniform, threshold, lit, start, neuron)
    return SpikeTrain(start, neuron[:count].copy(), len(pixels))


@compiled()
def _lit(pixels: NDArray[Any], chance: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return who is not black, and the probability of each to fire in a step."""
    lit, threshold = np.empty(len(pixels), np.int64), np.empty_like(pixels)
    count = 0
    for neuron in range(len(pixels)):
        lit[count], threshold[count] = neuron, pixels[neuron] * chance
        count += pixels[neuron] != 0
    return lit[:count], threshold[:count]


@compiled()
def _list_below(
    uniform: NDArray[Any], threshold: NDArray[Any], lit: NDArray[Any], start: NDArray[Any], neuron: NDArray[Any]
) -> int:
    """List who of `lit` is below its threshold in each step; return how many there are in all."""
    count = 0
    for step in range(len(uniform)):
        start[step] = count
        for place in range(len(lit)):
            neuron[count] = lit[place]
            count += uniform[step, place] < threshold[place]
    start[len(uniform)] = count
    return count
