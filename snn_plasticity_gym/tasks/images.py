"""Stimuli of lifetimes: a pool of images for each, sampled from a separate random stream."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.encoders import SpikeTrain, poisson_train
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.utils.state import State


class Stimulus(NamedTuple):
    """One presentation of an image."""

    place: int  # index in the lifetime's pool
    image: int  # index in the split
    label: int
    train: SpikeTrain  # input spikes

    @property
    def spikes(self) -> Tensor:
        """Input spikes, bool (T, n_input), on the CPU."""
        return self.train.dense()


class Stimuli:
    """Samples images and input spikes for one lifetime, as a function of the seed alone.

    Args:
        images: The split to sample from.
        config: Its sizes of pools, shift, steps and rate.
        rng: The lifetime's stream.

    Raises:
        ConfigError: The images of the evaluation phase leave none to learn from.
    """

    def __init__(self, images: ImageSet, config: ImageConfig, rng: np.random.Generator) -> None:
        self._images = images
        self._config = config
        self._rng = rng
        size = pool_length(images, config)
        self.pool = rng.choice(len(images.labels), size, replace=False)  # (P,)
        self._shift = 0  # maximum shift of an image, pixels

    def copy(self) -> Stimuli:
        """Return a copy with the same future samples."""
        twin = copy.copy(self)
        twin.pool, twin._rng = self.pool.copy(), copy.deepcopy(self._rng)
        return twin

    def state_dict(self) -> State:
        """Return the pool, the shift and the state of the random stream."""
        return {
            "pool": torch.from_numpy(self.pool),
            "shift": self._shift,
            "stream": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self.pool = state["pool"].numpy()
        self._shift = state["shift"]
        self._rng.bit_generator.state = state["stream"]

    def end_plasticity(self) -> None:
        """Switch to the images, and the shifts, of the evaluation phase."""
        self._shift = self._config.heldout_shift
        if self._config.heldout_pool:
            unseen = np.ones(len(self._images.labels), dtype=bool)
            unseen[self.pool] = False
            self.pool = self._rng.choice(np.flatnonzero(unseen), self._config.heldout_pool, replace=False)  # (P,)

    def draw(self) -> Stimulus:
        """Present a random image of the pool."""
        place = int(self._rng.integers(len(self.pool)))
        image = int(self.pool[place])
        picture = self._images.images.numpy()[image]  # (H, W)
        if self._shift:
            across, down = self._rng.integers(-self._shift, self._shift + 1, size=2).tolist()
            picture = moved(torch.from_numpy(picture), across, down).numpy()
        pixels = picture.reshape(-1) / np.float32(255.0)  # (n_input,)
        train = poisson_train(pixels, self._config.num_steps, self._config.spike_chance, self._rng)
        return Stimulus(place, image, int(self._images.labels.numpy()[image]), train)


def draw(
    stimuli: list[Stimuli | None], rows: Sequence[int], ages: Sequence[int], judged: Sequence[int]
) -> list[Stimulus]:
    """Sample an image for each of some lifetimes.

    Lifetimes started together with the same seed share a source, and sample once.

    Args:
        stimuli: Source of every lifetime. Lifetimes that share one, but no longer sample together or differ in age,
            get separate copies.
        rows: Lifetimes that sample.
        ages: Of every lifetime, images.
        judged: Those of `rows` with plasticity ending now.

    Returns:
        The stimulus of each of `rows`.
    """
    if len(set(map(id, stimuli))) < len(stimuli):
        _separate(stimuli, rows, ages)
    drawn: dict[int, Stimulus] = {}
    for row in rows:
        one = stimuli[row]
        assert one is not None, "start_lifetimes() comes first"
        if id(one) not in drawn:
            if row in judged:
                one.end_plasticity()
            drawn[id(one)] = one.draw()
    return [drawn[id(stimuli[row])] for row in rows]


def _separate(stimuli: list[Stimuli | None], rows: Sequence[int], ages: Sequence[int]) -> None:
    """Copy shared sources for lifetimes that no longer sample together; arguments as in `draw`."""
    drawing = set(rows)
    parties: dict[tuple[int, int], list[int]] = {}  # by stream and by age, of those that do not draw -1
    for row, one in enumerate(stimuli):
        parties.setdefault((id(one), ages[row] if row in drawing else -1), []).append(row)
    kept: set[int] = set()
    for (stream, _), party in parties.items():
        one = stimuli[party[0]]
        if stream in kept and one is not None:
            twin = one.copy()
            for row in party:
                stimuli[row] = twin
        kept.add(stream)


def moved(picture: Tensor, across: int, down: int) -> Tensor:
    """Shift a picture (H, W) by pixels to the right and downwards; filled with black."""
    return F.pad(picture, (across, -across, down, -down))  # negative padding crops


def pool_length(images: ImageSet, config: ImageConfig) -> int:
    """Return the number of images a lifetime learns from, without those of the evaluation phase.

    Raises:
        ConfigError: None are left.
    """
    available = len(images.labels) - config.heldout_pool
    if available < 1:
        raise ConfigError(
            f"heldout_pool must be less than the {len(images.labels)} images there are, so that some are left to learn "
            f"from, got {config.heldout_pool}"
        )
    return min(config.image_pool, available) if config.image_pool else available


def largest_pool(images: ImageSet, config: ImageConfig) -> int:
    """Return the maximum number of images in a lifetime's pool.

    Raises:
        ConfigError: No image is left to learn from, or shifts may exceed the image.
    """
    shape = tuple(images.images.shape[1:])
    if config.heldout_shift >= min(shape):
        raise ConfigError(
            f"heldout_shift must be less than the sides of images, {shape[0]} by {shape[1]} pixels, or nothing is left "
            f"to see, got {config.heldout_shift}"
        )
    return max(pool_length(images, config), config.heldout_pool)
