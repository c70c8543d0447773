"""Tasks with images as episodes: an open loop of input spikes, with a reward at the end of the image.

Axes: B lifetimes, R lifetimes of one call, T steps, N neurons, P pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.networks.spike_counts import SpikeCounts, count_spikes
from snn_plasticity_gym.plasticity.event_log import WrittenEvents
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.rewards.winner import NO_WINNER, winner
from snn_plasticity_gym.tasks.base import SHOWN, Outcome, Seed, Task
from snn_plasticity_gym.tasks.datasets import ImageSet, load_dataset
from snn_plasticity_gym.tasks.images import Stimuli, Stimulus, StimulusSeries, draw, draw_series, largest_pool
from snn_plasticity_gym.tasks.scene import Moment, Panel, Scene, count_panel, recent_spikes, weight_panel
from snn_plasticity_gym.utils.state import State


class Episode(NamedTuple):
    """Record of one image presented to each of R lifetimes."""

    rows: Tensor  # (R,) int64, the lifetimes
    places: Tensor  # (R,) int64, place of the image in the lifetime's pool
    labels: Tensor  # (R,) int64
    raster: Mapping[str, Tensor]  # bool (R, T, N), spikes of each population
    potentials: Mapping[str, Tensor]  # (R, T, N) before the reset; empty unless the task needs them
    written: Sequence[WrittenEvents]  # weight changes, in order; empty unless the task rewards events
    counted: Mapping[str, SpikeCounts] = MappingProxyType({})  # (R, N) each, if spikes are counted already
    # (R, n_pre) of the task's `winner_projection` at the image's end; None: those of the network are
    winner_weights: Tensor | None = None

    def spikes_of(self, population: str) -> SpikeCounts:
        """Return the spikes of each neuron of a population, (R, N)."""
        found = self.counted.get(population)
        return count_spikes(self.raster[population]) if found is None else found


class Verdict(NamedTuple):
    """Reward and winner of an episode."""

    result: RewardResult
    winners: Tensor  # (R,) int64, -1 without spikes


class ImageTask(Task):
    """Presents a pool of images to each lifetime, one per episode, and rewards the network's response.

    A derived task sets `populations` (the one named `input_name` first), `projections`, `groups` and `readout`, and
    computes the reward in `judge`.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Of the tensors.

    Raises:
        FileNotFoundError: The data set is not found (see `load_dataset`).
    """

    input_name: str  # population that encodes the image
    open_loop: ClassVar[bool] = True
    portrait: ClassVar[str] = "images"

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a derived class say itself whether it `judges_series`: it may have changed what that depends on."""
        super().__init_subclass__(**options)
        if "judges_series" not in vars(cls):
            cls.judges_series = ImageTask.judges_series  # type: ignore[method-assign]

    def __init__(self, config: ImageConfig, num_lifetimes: int, device: torch.device) -> None:
        self.config = config
        self.num_lifetimes = num_lifetimes
        self.device = device
        self.num_steps = self.record_steps = self.window = config.num_steps
        self.dataset = load_dataset(config.dataset, config.data_dir, config.image_size)
        self.source = self.dataset.name
        self.max_rate = config.spike_chance
        self._images = self.dataset.split(config.split)
        self.n_input = self._images.images[0].numel()  # P
        self.largest_pool = largest_pool(self._images, config)  # maximum images in a lifetime's pool
        self._stimuli: list[Stimuli | None] = [None] * num_lifetimes
        self._shown: list[Stimulus | None] = [None] * num_lifetimes
        self._no = torch.zeros(num_lifetimes, dtype=torch.bool, device=device)
        self._yes = ~self._no  # episodes terminate, and are not truncated
        self._ending: set[int] = set()  # lifetimes with plasticity ending at the next image

    @property
    def judges_series(self) -> bool:
        """Whether several images of a lifetime may be drawn, then shown, then judged.

        If so, nothing of an image depends on what the one before earned, and `judge` takes a lifetime more than once.
        """
        return False

    def shown(self, row: int) -> Stimulus:
        """Return the present stimulus of lifetime `row`."""
        stimulus = self._shown[row]
        assert stimulus is not None, "reset() comes first"
        return stimulus

    def manifest(self) -> dict[str, Any]:
        """Return name and checksum of the data set, and the split that is shown."""
        return self.dataset.manifest(self.config.split)

    def remedy(self, population: str) -> str:
        """Return a remedy for a silent population."""
        if population == self.input_name:
            return "raise max_rate or num_steps, or check the images"
        return super().remedy(population)

    def reserve_images(self, count: int) -> None:
        """Exclude the last `count` images of the split from all lifetimes started from now on.

        Raises:
            ValueError: No images would be left, or the count is negative.
        """
        whole = self.dataset.split(self.config.split)
        if not 0 <= count < len(whole.labels):
            raise ValueError(
                f"count must be at least 0 and less than the split's {len(whole.labels)} images, got {count}"
            )
        shown = len(whole.labels) - count  # the first ones, so that an image keeps its index in the split
        self._images = ImageSet(whole.images[:shown], whole.labels[:shown])

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:
        """Start lifetimes with new images; those with equal images share a source."""
        begun: dict[tuple[int, int], Stimuli] = {}
        for row, seed in zip(rows, seeds, strict=True):
            key = seed.shown, seed.generation
            if key not in begun:
                begun[key] = Stimuli(self._images, self.config, seed.rng(SHOWN))
            self._stimuli[row] = begun[key]
            self._ending.discard(row)

    def end_plasticity(self, row: int) -> None:
        """Switch to the images of the evaluation phase."""
        self._ending.add(row)

    def reset(self, rows: Tensor, seeds: Sequence[Seed]) -> None:
        """Present the next image to each of the lifetimes `rows`."""
        which = rows.tolist()
        ages = [0] * self.num_lifetimes
        for row, seed in zip(which, seeds, strict=True):
            ages[row] = seed.episode
        stimuli = draw(self._stimuli, which, ages, [row for row in which if row in self._ending])
        self._ending.difference_update(which)
        for row, stimulus in zip(which, stimuli, strict=True):
            self._shown[row] = stimulus
        labels = np.array([stimulus.label for stimulus in stimuli])
        self.begin(rows, torch.from_numpy(labels).to(self.device))

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Called with the labels (R,) of the images now presented to the lifetimes `rows`."""

    def whole_input(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the input spikes of the images, bool (R, T, P)."""
        return {self.input_name: torch.stack([self.shown(row).spikes for row in rows.tolist()]).to(self.device)}

    def whole_trains(self) -> list[SpikeTrain]:
        """Return the input spikes of the image of every lifetime; lifetimes with equal images share it."""
        return [self.shown(row).train for row in range(self.num_lifetimes)]

    def draw_series(self, count: int, ages: Sequence[int]) -> StimulusSeries:
        """Draw the images that follow the present ones, as so many calls of `reset` for all lifetimes would.

        Args:
            count: Number of images, with the present ones, which are the first of them.
            ages: Of every lifetime, images.

        Returns:
            What every lifetime is shown, image by image.
        """
        return draw_series(self._stimuli, [self.shown(row) for row in range(self.num_lifetimes)], ages, count)

    def judge_series(
        self, series: StimulusSeries, counted: Mapping[str, SpikeCounts], winner_weights: Tensor | None = None
    ) -> Outcome:
        """Judge M images of every lifetime, in their order.

        Args:
            series: As `draw_series` returns.
            counted: Spikes of each population, (M * B, N) each, image by image.
            winner_weights: As in `Episode`, (M * B, n_pre).

        Returns:
            Of M * B rows.
        """
        rows = torch.arange(self.num_lifetimes).repeat(len(series.places))  # (M * B,)
        places, images, labels = (torch.from_numpy(facts).flatten() for facts in series[:3])
        verdict = self.judge(Episode(rows, places, labels, {}, {}, [], counted, winner_weights))
        info = {"winner": verdict.winners, "image": images, "label": labels}
        no = torch.zeros(len(rows), dtype=torch.bool)
        return Outcome(rows, verdict.result.reward, ~no, no, verdict.result.terms, info)

    def outcome(self, rows: Tensor, step: int | Tensor) -> Outcome | None:
        """Return the step results of the lifetimes at the end of their image."""
        if isinstance(step, int):
            if step + 1 < self.num_steps:
                return None
        else:
            rows = rows[step + 1 >= self.num_steps]
            if not len(rows):
                return None
        which = rows.tolist()
        shown = [self.shown(row) for row in which]
        record = self.record
        facts = np.array([[one.place for one in shown], [one.image for one in shown], [one.label for one in shown]])
        places, images, labels = torch.from_numpy(facts).to(self.device).unbind()  # (R,) each
        all_lifetimes = len(which) == self.num_lifetimes  # then no copies are needed
        episode = Episode(
            rows=rows,
            places=places,
            labels=labels,
            raster=record.raster if all_lifetimes else {name: spikes[rows] for name, spikes in record.raster.items()},
            potentials=record.potentials
            if all_lifetimes
            else {name: values[rows] for name, values in record.potentials.items()},
            written=record.of(which),
            counted=record.counted if all_lifetimes else {},
        )
        verdict = self.judge(episode)
        info = {"winner": verdict.winners, "image": images, "label": labels}
        result = verdict.result
        terminated, truncated = (self._yes, self._no) if all_lifetimes else (self._yes[rows], self._no[rows])
        return Outcome(rows, result.reward, terminated, truncated, result.terms, info, result.event_rewards)

    def scene(self, row: int, moment: Moment) -> Scene:
        """Return the image, its spikes, and the receptive field of the leading neuron (else the last winner)."""
        shown = self.shown(row)
        image = self.dataset.split(self.config.split).images[shown.image].numpy().copy()  # (H, W)
        height, width = image.shape
        counts = recent_spikes(self.record, self.input_name, row, moment.steps).spikes.sum(axis=0)  # (P,)
        raster = recent_spikes(self.record, self.readout, row, moment.steps)
        leader = int(winner(count_spikes(torch.from_numpy(raster.spikes)[None]))[0])
        if leader != NO_WINNER:
            accent = raster.spikes & (np.arange(raster.spikes.shape[1]) == leader)  # (T, N)
            total = int(accent.sum())
            caption = f"{self.readout} neuron {leader}: {total:,} spike{'' if total == 1 else 's'}"
            raster = raster._replace(accent=accent, caption=caption)
        panels = [
            Panel("image", image, f"{height} x {width} pixels"),
            count_panel("input spikes so far", counts.reshape(image.shape), "spikes per pixel"),
            self._receptive_field(row, leader, moment, image.shape),
        ]
        return Scene(f"label {shown.label}   |   image {moment.number} of this lifetime", panels, raster, "image")

    def _receptive_field(self, row: int, leader: int, moment: Moment, shape: tuple[int, ...]) -> Panel:
        """Return the weights from the input to the leader, or to the last winner before there is one, (H, W)."""
        neuron = int(moment.last["winner"]) if leader == NO_WINNER and moment.last is not None else leader
        ends = (self.input_name, self.readout)
        network = self.record.network
        direct = [p for p in network.projections if (p.source, p.target) == ends and not p.one_to_one]
        if neuron == NO_WINNER or not direct:
            return Panel("receptive field", None, "no spike yet" if neuron == NO_WINNER else "no direct\ninput weights")
        standing = "won" if moment.finished else "leads" if leader != NO_WINNER else "won last"
        whole = weight_panel(network, direct[0], row)
        assert whole.pixels is not None
        field = whole.pixels[:, neuron].reshape(shape).copy()
        return Panel(f"{self.readout} neuron {neuron} {standing}", field, "input weights, no unit", whole.limits)

    @abstractmethod
    def judge(self, episode: Episode) -> Verdict:
        """Compute the reward of an episode, and store it for rewards that use earlier episodes."""

    def state_dict(self) -> State:
        """Return the streams of images, and the present stimuli."""
        return {
            "stimuli": [stimuli.state_dict() for stimuli in self._stimuli if stimuli is not None],
            "shown": [
                {"place": shown.place, "image": shown.image, "label": shown.label, "spikes": shown.spikes}
                for shown in map(self.shown, range(self.num_lifetimes))
            ],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        for row, (stream, shown) in enumerate(zip(state["stimuli"], state["shown"], strict=True)):
            stimuli = Stimuli(self._images, self.config, np.random.default_rng(0))
            stimuli.load_state_dict(stream)
            self._stimuli[row] = stimuli
            train = SpikeTrain.of(shown["spikes"].cpu())
            self._shown[row] = Stimulus(shown["place"], shown["image"], shown["label"], train)


def image_task(task: Task) -> ImageTask:
    """Return a task as an `ImageTask`.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(task, ImageTask):
        raise ConfigError(f"this takes an environment that shows images, got the task {type(task).__name__}")
    return task
