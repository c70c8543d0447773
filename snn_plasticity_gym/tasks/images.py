"""Stimuli of lifetimes: a pool of images for each, sampled from a separate random stream.

Axes: M images, B lifetimes, R lifetimes of one call, S sources, T steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.kernels.tables import InputSpikes
from snn_plasticity_gym.networks.encoders import SpikeTrain, poisson_train
from snn_plasticity_gym.networks.image_draws import ImageDraws, ImageSource, draw_images
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


class StimulusSeries(NamedTuple):
    """M images presented to each of B lifetimes, one after the other."""

    places: NDArray[np.int64]  # (M, B) in the lifetime's pool
    images: NDArray[np.int64]  # (M, B) in the split
    labels: NDArray[np.int64]  # (M, B)
    inputs: InputSpikes  # `stimulus` is (M, B)


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
        self.images = images
        self.config = config
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
        self._shift = self.config.heldout_shift
        if self.config.heldout_pool:
            unseen = np.ones(len(self.images.labels), dtype=bool)
            unseen[self.pool] = False
            self.pool = self._rng.choice(np.flatnonzero(unseen), self.config.heldout_pool, replace=False)  # (P,)

    @property
    def source(self) -> ImageSource:
        """What the next images are drawn from."""
        return ImageSource(self.pool, self.images.images.numpy(), self._shift, self._rng)

    def draw(self) -> Stimulus:
        """Present a random image of the pool: as `draw_images` does, and for a single image at less cost."""
        place = int(self._rng.integers(len(self.pool)))
        image = int(self.pool[place])
        picture = self.images.images.numpy()[image]  # (H, W)
        if self._shift:
            across, down = self._rng.integers(-self._shift, self._shift + 1, size=2).tolist()
            picture = moved(torch.from_numpy(picture), across, down).numpy()
        pixels = picture.reshape(-1) / np.float32(255.0)  # (n_input,)
        train = poisson_train(pixels, self.config.num_steps, self.config.spike_chance, self._rng)
        return Stimulus(place, image, int(self.images.labels.numpy()[image]), train)


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
    sources, source_of = _sources(stimuli, rows, ages)
    for one in {id(stimuli[row]): stimuli[row] for row in judged}.values():
        assert one is not None
        one.end_plasticity()
    if len(sources) == 1:
        return [sources[0].draw()] * len(rows)
    drawn, shown = draw_from(sources, 1), []
    size = math.prod(sources[0].images.images.shape[1:])
    for one, (place,), (start,) in zip(sources, drawn.place.tolist(), drawn.start, strict=True):
        image = int(one.pool[place])
        train = SpikeTrain(start - start[0], drawn.neuron[start[0] : start[-1]], size)
        shown.append(Stimulus(place, image, int(one.images.labels.numpy()[image]), train))
    return [shown[source] for source in source_of]


def draw_series(
    stimuli: list[Stimuli | None], shown: Sequence[Stimulus], ages: Sequence[int], count: int
) -> StimulusSeries:
    """Sample the images that follow the present ones, for all lifetimes, as so many calls of `draw` would.

    Args:
        stimuli: As in `draw`, like `ages`.
        shown: The present stimulus of every lifetime.
        ages: Of every lifetime, images.
        count: M, with the present images, which are the first of each lifetime.
    """
    sources, source_of = _sources(stimuli, range(len(stimuli)), ages)
    present = [shown[source_of.index(source)] for source in range(len(sources))]  # of the first that shares it
    drawn = draw_from(sources, count - 1)
    facts = np.empty((3, count, len(sources)), np.int64)
    facts[:, 0] = np.array([(now.place, now.image, now.label) for now in present]).T
    facts[0, 1:] = drawn.place.T
    for source, one in enumerate(sources):
        facts[1, 1:, source] = images = one.pool[drawn.place[source]]
        facts[2, 1:, source] = one.images.labels.numpy()[images]
    before = np.cumsum([0, *(len(now.train.neuron) for now in present)])  # spikes of the present images
    starts = np.empty((len(sources), count, drawn.start.shape[2]), np.int64)
    starts[:, 0] = np.array([now.train.start for now in present]) + before[:-1, None]
    starts[:, 1:] = drawn.start + before[-1]
    neuron = np.concatenate([*(now.train.neuron for now in present), drawn.neuron])
    stimulus = np.array(source_of) * count + np.arange(count)[:, None]  # (M, B)
    places, images, labels = facts[:, :, source_of]
    inputs = InputSpikes(stimulus, starts.reshape(-1, starts.shape[2]), neuron)
    return StimulusSeries(places, images, labels, inputs)


def draw_from(sources: Sequence[Stimuli], count: int) -> ImageDraws:
    """Draw images of each of some sources, of tasks with the same settings."""
    config = sources[0].config
    return draw_images([one.source for one in sources], count, config.num_steps, config.spike_chance)


def _sources(
    stimuli: list[Stimuli | None], rows: Sequence[int], ages: Sequence[int]
) -> tuple[list[Stimuli], list[int]]:
    """Return the S distinct sources that `rows` sample from, and which of them each one does, (R,); see `draw`."""
    if len(set(map(id, stimuli))) < len(stimuli):
        _separate(stimuli, rows, ages)
    found: dict[int, int] = {}
    sources: list[Stimuli] = []
    for row in rows:
        one = stimuli[row]
        assert one is not None, "start_lifetimes() comes first"
        if id(one) not in found:
            found[id(one)] = len(sources)
            sources.append(one)
    return sources, [found[id(stimuli[row])] for row in rows]


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
