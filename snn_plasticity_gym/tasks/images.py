"""What lifetimes are shown: a pool of images each, drawn from a random stream of the lifetime's own."""

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

    place: int  # in the lifetime's pool
    image: int  # in the split
    label: int
    train: SpikeTrain  # input spikes

    @property
    def spikes(self) -> Tensor:
        """Input spikes, bool (T, n_input), on the CPU."""
        return self.train.dense()


class Stimuli:
    """Draws images and input spikes for one lifetime: a function of the seed alone.

    Args:
        images: The split to draw from.
        config: Its sizes of pools, shift, steps and rate.
        rng: The lifetime's stream.

    Raises:
        ConfigError: The images that the lifetime is judged by leave none to learn from.
    """

    def __init__(self, images: ImageSet, config: ImageConfig, rng: np.random.Generator) -> None:
        self._images = images
        self._config = config
        self._rng = rng
        size = pool_length(images, config)
        self.pool = rng.choice(len(images.labels), size, replace=False)  # (P,)
        self._shift = 0  # most pixels by which an image is moved

    def copy(self) -> Stimuli:
        """Return another one that will draw the same."""
        twin = copy.copy(self)
        twin.pool, twin._rng = self.pool.copy(), copy.deepcopy(self._rng)
        return twin

    def state_dict(self) -> State:
        """Return the pool, the shift and the place in the random stream."""
        return {
            "pool": torch.from_numpy(self.pool),
            "shift": self._shift,
            "stream": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self.pool = state["pool"].numpy()
        self._shift = state["shift"]
        self._rng.bit_generator.state = state["stream"]

    def end_plasticity(self) -> None:
        """Go on with the images, and the shifts, that the lifetime is judged by."""
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
    """Present an image to some lifetimes.

    Those that began together with the same seed share what they draw from, and draw once.

    Args:
        stimuli: Of every lifetime. Where lifetimes that share one no longer go along with each other, since some are
            shown an image without the others or are of another age, they get one of their own.
        rows: Lifetimes that draw.
        ages: Of every lifetime, images.
        judged: Those of `rows` whose plasticity ends now.

    Returns:
        What each of `rows` sees.
    """
    if len(set(map(id, stimuli))) < len(stimuli):
        _part_ways(stimuli, rows, ages)
    drawn: dict[int, Stimulus] = {}
    for row in rows:
        one = stimuli[row]
        assert one is not None, "start_lifetimes() comes first"
        if id(one) not in drawn:
            if row in judged:
                one.end_plasticity()
            drawn[id(one)] = one.draw()
    return [drawn[id(stimuli[row])] for row in rows]


def _part_ways(stimuli: list[Stimuli | None], rows: Sequence[int], ages: Sequence[int]) -> None:
    """Give those that no longer go along with others copies of what they share; arguments as in `draw`."""
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
    """Move a picture (H, W) by so many pixels to the right and downwards; what comes in at the edges is black."""
    return F.pad(picture, (across, -across, down, -down))  # what is padded with less than nothing is cut off


def pool_length(images: ImageSet, config: ImageConfig) -> int:
    """Return how many images a lifetime learns from; those that it is judged by are kept from it.

    Raises:
        ConfigError: That leaves none.
    """
    available = len(images.labels) - config.heldout_pool
    if available < 1:
        raise ConfigError(
            f"heldout_pool must be less than the {len(images.labels)} images there are, so that some are left to learn "
            f"from, got {config.heldout_pool}"
        )
    return min(config.image_pool, available) if config.image_pool else available


def largest_pool(images: ImageSet, config: ImageConfig) -> int:
    """Return how many images a pool of a lifetime holds at most.

    Raises:
        ConfigError: No image is left to learn from, or images may be moved out of sight.
    """
    shape = tuple(images.images.shape[1:])
    if config.heldout_shift >= min(shape):
        raise ConfigError(
            f"heldout_shift must be less than the sides of images, {shape[0]} by {shape[1]} pixels, or nothing is left "
            f"to see, got {config.heldout_shift}"
        )
    return max(pool_length(images, config), config.heldout_pool)
