"""What lifetimes are shown: a pool of images each, drawn from a random stream of the lifetime's own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.data import ImageSet
from snn_plasticity_gym.snn.encoding import poisson_encode
from snn_plasticity_gym.state import State


class Stimulus(NamedTuple):
    """One presentation of an image."""

    place: int  # in the lifetime's pool
    image: int  # in the split
    label: int
    spikes: Tensor  # bool (T, n_input), on the CPU


class Stimuli:
    """Draws images and input spikes for one lifetime: a function of the seed alone.

    Args:
        images: The split to draw from.
        pool_size: Images in the lifetime's pool; 0, or more than there are, means all of them.
        num_steps: T.
        max_rate: Spike probability per step of a white pixel.
        rng: The lifetime's stream.
    """

    def __init__(
        self, images: ImageSet, pool_size: int, num_steps: int, max_rate: float, rng: np.random.Generator
    ) -> None:
        self._images = images
        self._num_steps = num_steps
        self._max_rate = max_rate
        self._rng = rng
        size = pool_length(images, pool_size)
        self.pool = rng.choice(len(images.labels), size, replace=False)  # (P,)

    def state_dict(self) -> State:
        """Return the pool and the place in the random stream."""
        return {"pool": torch.from_numpy(self.pool), "stream": self._rng.bit_generator.state}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self.pool = state["pool"].numpy()
        self._rng.bit_generator.state = state["stream"]

    def draw(self) -> Stimulus:
        """Present a random image of the pool."""
        place = int(self._rng.integers(len(self.pool)))
        image = int(self.pool[place])
        pixels = self._images.images[image].flatten().to(torch.float32) / 255.0  # (n_input,)
        spikes = poisson_encode(pixels, self._num_steps, self._max_rate, self._rng)
        return Stimulus(place, image, int(self._images.labels[image]), spikes)


def pool_length(images: ImageSet, pool_size: int) -> int:
    """Return how many images a pool really holds."""
    available = len(images.labels)
    return min(pool_size, available) if pool_size else available
