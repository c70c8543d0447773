"""Encoding of images as spike trains."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.compile import compiled


class SpikeTrain(NamedTuple):
    """Spikes of N neurons in T steps as a list."""

    start: NDArray[np.int64]  # (T + 1,) start of each step's spikes
    neuron: NDArray[np.int64]  # indices of spiking neurons, ascending within a step
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
    """Return the spikes of `poisson_train` as bool (T, N)."""
    return poisson_train(image.numpy(), num_steps, chance, rng).dense()


def poisson_train(pixels: NDArray[Any], num_steps: int, chance: float, rng: np.random.Generator) -> SpikeTrain:
    """Draw independent Bernoulli spikes whose probability per step is intensity * chance.

    The discrete form of a Poisson spike train (Diehl & Cook 2015, section 2.4: 63.75 Hz for a white pixel).

    Args:
        pixels: Intensities in [0, 1], (N,).
        num_steps: Length T of the train.
        chance: Spike probability per step of a white pixel, in [0, 1]: its rate times the length of a step.
        rng: Source of randomness; NumPy's, so that a seed gives the same spikes on every device.
    """
    bits = _uniforms(rng, num_steps * np.count_nonzero(pixels))  # black pixels never fire: no numbers are drawn
    start, neuron = _list_spikes(pixels, pixels.dtype.type(chance), num_steps, bits)
    return SpikeTrain(start, neuron, len(pixels))


def _uniforms(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Return what `rng.random(count, dtype=np.float32)` does, in units of 2^-32 and before the last 8 bits are dropped.

    NumPy's generators make 64 bits at a time, and numbers of single precision of one half after the other, the lower
    one first. Halves taken all at once take half of the time; the state of the generator is the same afterwards.
    """
    uniforms = np.empty(count, dtype=np.uint32)
    left_over = rng.bit_generator.state["has_uint32"] if count else 0  # a half left from the last call
    pairs = (count - left_over) // 2
    if left_over:
        uniforms[0] = _next_half(rng)
    both = rng.bit_generator.random_raw(pairs).astype("<u8", copy=False)  # the lower half comes first in memory, too
    uniforms[left_over : left_over + 2 * pairs] = both.view("<u4")
    if left_over + 2 * pairs < count:
        uniforms[-1] = _next_half(rng)
    return uniforms


def _next_half(rng: np.random.Generator) -> int:
    return int(rng.random(dtype=np.float32) * 2**24) << 8


@compiled()
def _list_spikes(
    pixels: NDArray[Any], chance: Any, num_steps: int, uniforms: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """List the neurons that spike in each step (number below probability); see `SpikeTrain`.

    Args:
        pixels: Intensities, (N,).
        chance: Probability per step of a white pixel.
        num_steps: T.
        uniforms: Numbers of those L pixels that are not black, step by step, (T * L,).
    """
    lit, limit = np.empty(len(pixels), np.int64), np.empty(len(pixels), np.uint32)
    num_lit = 0
    for pixel in range(len(pixels)):
        if pixels[pixel] != 0:
            lit[num_lit] = pixel
            limit[num_lit] = np.uint32(np.ceil(np.float64(pixels[pixel] * chance) * 2.0**24))
            num_lit += 1
    start = np.zeros(num_steps + 1, np.int64)
    for step in range(num_steps):
        numbers, count = uniforms[step * num_lit : (step + 1) * num_lit], np.uint32(0)
        for place in range(num_lit):
            count += np.uint32((numbers[place] >> np.uint32(8)) < limit[place])
        start[step + 1] = start[step] + count
    neuron = np.empty(start[num_steps] + 1, np.int64)  # one more, since the place after the last is written to
    for step in range(num_steps):
        numbers, at = uniforms[step * num_lit : (step + 1) * num_lit], start[step]
        for place in range(num_lit):
            neuron[at] = lit[place]
            at += (numbers[place] >> np.uint32(8)) < limit[place]
    return start, neuron[:-1]
