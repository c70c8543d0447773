"""Whole images by compiled loops: lists of input spikes in, spikes and weights out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.compiled_networks import CompiledNetworks
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.ways import Frozen, Way
from snn_plasticity_gym.kernels.closed_form import Decays, show_closed_form
from snn_plasticity_gym.kernels.compile import announce, prepared
from snn_plasticity_gym.kernels.formula_images import FormulaRule, show_formula
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.kernels.images import respond, show_frozen
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.tables import ImageRecord, ImageSeries, InputSpikes, Learning, StepFactor
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.utils.threads import spread

MOST_IMAGES = 32  # in one call: what is done once a call is next to nothing then
MOST_COUNTS = 1 << 21  # numbers of spikes, by image, lifetime and neuron, that are kept at once
# Fields of records by image; the others are of the last one.
BY_IMAGE = ("counts", "first", "totals", "num_events", "changes", "winner_weights")

Arguments = Callable[[int], tuple[Any, ...]]
"""Arguments of a compiled loop, by the part of the lifetimes; see `Rooms`."""


class CompiledImages:
    """Runs whole images in all lifetimes of an engine, spread over threads.

    Args:
        parts: Of the engine.

    Attributes:
        most: Images that lifetimes can be shown in one call.
        places: Slice of each population among all neurons of a network.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._task, self._recorder, num_steps = parts.task, parts.recorder, parts.task.num_steps
        num_lifetimes = parts.network.num_networks
        self.most = max(min(MOST_COUNTS // parts.recorder.counts.numel(), MOST_IMAGES), 1)
        self._stimulus = np.zeros((self.most, num_lifetimes), np.int64)
        starts = np.zeros((self._stimulus.size, num_steps + 1), np.int64)
        room = InputSpikes(self._stimulus[0], starts, np.zeros(0, np.int64))
        self._networks = CompiledNetworks(parts, num_steps, room)
        self.places = self._networks.places
        inputs = [place.start for name, place in self.places.items() if name not in self._networks.thetas]
        self._shift = inputs[0] if len(inputs) == 1 else 0  # with several, trains count all neurons
        self._series: dict[int, ImageSeries] = {}  # by the number of images
        self._prepared: dict[tuple[int, int], Callable[[int, int], None]] = {}  # by part and number of images
        self._last_way: ClosedForm | Frozen | None = None  # of the images before

    @functools.cached_property
    def _records(self) -> ImageRecord:
        """Room for the records of as many images as can be shown in one call."""
        one = self._networks.record
        own: dict[str, Any] = {
            name: np.zeros((self.most, *getattr(one, name).shape), getattr(one, name).dtype) for name in BY_IMAGE
        }
        return one._replace(**own)

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, None]:
        """Go through an image from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            way: The rule; `Frozen`: weights and adaptive thresholds stay as they are, and there are no events.
            pace: Share of the learning rates that the age of each lifetime leaves, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,), and None: rewards come from the task.
        """
        step_factor = self._task.step_factor() if self._task.follows_steps else None
        self._show(way, pace.numpy(), self._inputs(), step_factor, changes)
        self._recorder.take_counts()
        return torch.from_numpy(self._networks.record.num_events), None

    def show_series(self, way: Way, paces: Tensor, inputs: InputSpikes, changes: Tensor) -> ImageRecord:
        """Go through several images one after the other, as so many calls of `show` do.

        Args:
            way: As in `show`, like `changes`.
            paces: Share of the learning rates at each image, float32 (M, B), at most `most` images.
            inputs: Spikes of the input population; `stimulus` is (M, B).
            changes: (4, heads).

        Returns:
            Spikes and events, with an axis for the images in front; overwritten by the next call.
        """
        return self._show(way, paces.numpy(), self._placed(inputs), None, changes)

    def _show(
        self,
        way: Way,
        paces: NDArray[np.float32],
        inputs: InputSpikes,
        step_factor: StepFactor | None,
        changes: Tensor,
    ) -> ImageRecord:
        """Go through M images, with `inputs.stimulus` (M, B), and a factor that may change within each.

        `paces` are (M, B), or (B,) of all images.
        """
        networks = self._networks
        factors = networks.begin()
        factor = step_factor or networks.no_step_factor
        series = self._take(inputs, factor)
        series.learning.pace[:] = paces
        series.record.changes.fill(0)
        moves = factor.target >= 0  # a factor that changes within the image
        if moves:
            networks.neurons.current.fill(0)
        self._run(way, series)
        networks.end(factors if moves else {}, series.record.changes, changes)
        return series.record

    def respond(self, trains: Sequence[SpikeTrain], keys: NDArray[np.uint64]) -> Tensor:
        """Show images to all networks as they are: no plasticity, adaptive thresholds frozen, no third factor.

        Args:
            trains: Input spikes of M images, the same for all networks.
            keys: Of the random numbers of groups while each image is shown, (M,), the same for all networks.

        Returns:
            Spikes of each neuron of the task's readout, int64 (B, M, N).
        """
        networks = self._networks
        place = networks.places[self._task.readout]
        counts = np.empty((networks.num_lifetimes, len(trains), place.stop - place.start), dtype=np.int64)
        networks.take_thresholds()
        networks.neurons.current.fill(0)
        inputs, own_keys = self._listed(trains, np.arange(len(trains))), networks.tables.keys.copy()
        tables = networks.frozen_tables._replace(inputs=inputs, factor=networks.no_step_factor, keys=own_keys)
        announce(respond)

        def work(first: int, last: int) -> None:
            raster = np.empty(networks.record.raster.shape[1:], dtype=np.bool_)  # (T, N)
            respond(first, last, tables, keys, place.start, networks.rooms.spikes(first), raster, counts)

        spread(work, len(counts))
        return torch.from_numpy(counts)

    def _take(self, inputs: InputSpikes, factor: StepFactor) -> ImageSeries:
        """Copy input spikes of M images to the room of those before, and set the third factor of the steps."""
        tables = self._networks.tables
        room = tables.inputs
        if len(room.neuron) < len(inputs.neuron):
            room = room._replace(neuron=np.zeros(2 * len(inputs.neuron), dtype=np.int64))
        if room is not tables.inputs or factor is not tables.factor:
            self._networks.set_tables(tables._replace(inputs=room, factor=factor))
            self._series.clear()
            self._last_way = None  # what was prepared holds the tables of before
        count = len(inputs.stimulus)
        self._stimulus[:count] = inputs.stimulus
        room.start[: len(inputs.start)] = inputs.start
        room.neuron[: len(inputs.neuron)] = inputs.neuron
        if count not in self._series:
            self._series[count] = self._series_of(count)
        return self._series[count]

    def _series_of(self, count: int) -> ImageSeries:
        """Return tables for so many images; the record of a single one is that of the engine's episode."""
        networks = self._networks
        inputs = networks.tables.inputs._replace(stimulus=self._stimulus[:count])
        learning, record = networks.learning, networks.record
        if count == 1:
            paces = learning.pace[None]
            own: dict[str, Any] = {name: getattr(record, name)[None] for name in BY_IMAGE}
        else:
            paces = np.ones((count, networks.num_lifetimes), np.float32)
            own = {name: getattr(self._records, name)[:count] for name in BY_IMAGE}
        return ImageSeries(
            networks.tables._replace(inputs=inputs),
            networks.frozen_tables._replace(inputs=inputs),
            learning._replace(pace=paces),
            record._replace(**own),
        )

    def _loop_of(self, way: Way, learning: Learning) -> tuple[Callable[..., None], Arguments]:
        """Return the compiled loop of a way, and its arguments between networks and what is kept.

        Arguments are those of a part of the lifetimes; see `Rooms`.
        """
        networks = self._networks
        if isinstance(way, Frozen):
            return show_frozen, lambda part: (networks.rooms.spikes(part),)
        if isinstance(way, ClosedForm):
            decays = decays_of(way, self._task.num_steps)
            return show_closed_form, lambda part: (way, decays, learning, *self._rooms_of(part, way))
        scalars, kept = networks.shared_scalars, networks.kept_outputs
        if isinstance(way, FormulaRule):
            return show_formula, lambda part: (way, scalars, learning, *self._rooms_of(part, way))
        kept.begin(way)
        return show_heads, lambda part: (way, scalars, kept.of(part), learning, *self._rooms_of(part, way))

    def _rooms_of(self, part: int, way: ClosedForm | FormulaRule | HeadRule) -> tuple[Any, Any]:
        return self._networks.rooms.spikes(part), self._networks.rooms.of(part, way)

    def _run(self, way: Way, series: ImageSeries) -> None:
        """Run the loop over all lifetimes, spread over threads; a teacher sees one lifetime after the other."""
        networks, task, count = self._networks, self._task, len(series.record.num_events)
        loop, arguments = self._loop_of(way, series.learning)
        announce(loop)
        tables = series.frozen if isinstance(way, Frozen) else series.networks
        # Learned rules change often, and their loops take so long that preparing a call saves nothing.
        lasting = way if isinstance(way, ClosedForm | Frozen) else None
        again = lasting is not None and lasting == self._last_way
        if not again:
            self._last_way = lasting
            self._prepared.clear()

        def work(first: int, last: int) -> None:
            trail = networks.rooms.trail(first) if task.teaches else networks.record.trail
            run = self._prepared.get((first, count))
            if run is None:
                given = tables, *arguments(first), series.record._replace(trail=trail)
                if again:
                    run = self._prepared[first, count] = prepared(loop, *given)
                else:
                    run = lambda first, last: loop(first, last, *given)  # noqa: E731
            if not task.teaches:
                run(first, last)
                return
            for b in range(first, last):
                run(b, b + 1)
                task.teach(b, networks.tables, networks.learning, networks.record._replace(trail=trail))

        spread(work, networks.num_lifetimes)

    def _inputs(self) -> InputSpikes:
        """List the input spikes of the episodes that have begun."""
        trains = self._task.whole_trains()
        if trains is None:
            networks = self._networks
            given = self._task.whole_input(torch.arange(networks.num_lifetimes))
            dense = np.zeros((networks.num_lifetimes, self._task.num_steps, networks.num_neurons), dtype=np.bool_)
            for name, spikes in given.items():
                dense[:, :, networks.places[name]] = spikes.numpy()
            trains = [SpikeTrain.of(torch.from_numpy(spikes)) for spikes in dense]
        order: dict[int, int] = {}
        stimulus = np.array([[order.setdefault(id(train), len(order)) for train in trains]])  # (1, B)
        return self._listed(list({id(train): train for train in trains}.values()), stimulus)

    def _listed(self, trains: Sequence[SpikeTrain], stimulus: NDArray[np.int64]) -> InputSpikes:
        """Put distinct trains one behind the other."""
        start, neuron = trains[0].start[None], trains[0].neuron  # (S, T + 1), and of all trains
        if len(trains) > 1:
            ends = np.cumsum([len(train.neuron) for train in trains])
            start = np.array([train.start for train in trains])
            start[1:] += ends[:-1, None]
            neuron = np.concatenate([train.neuron for train in trains])
        return self._placed(InputSpikes(stimulus, start, neuron))

    def _placed(self, inputs: InputSpikes) -> InputSpikes:
        """Return input spikes with neurons counted among all of a network."""
        return inputs._replace(neuron=inputs.neuron + self._shift) if self._shift else inputs


@functools.lru_cache(maxsize=64)
def decays_of(form: ClosedForm, num_steps: int) -> Decays:
    """Return what spikes add to the traces of a rule, by age; without a time constant, every spike counts alike."""
    ages = np.arange(num_steps + 1)
    taus = (form.tau_pre_fast, form.tau_pre_slow, form.tau_post_fast, form.tau_post_slow)
    return Decays(*(np.exp(-ages * form.dt / tau) if tau > 0 else np.ones(len(ages)) for tau in taus))
