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
from snn_plasticity_gym.kernels.tables import InputSpikes, StepFactor
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.utils.threads import spread

Arguments = Callable[[int], tuple[Any, ...]]
"""Arguments of a compiled loop, by the part of the lifetimes; see `Rooms`."""


class CompiledImages:
    """Runs whole images in all lifetimes of an engine, spread over threads.

    Args:
        parts: Of the engine.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._task, num_steps = parts.task, parts.task.num_steps
        num_lifetimes = parts.network.num_networks
        starts = np.zeros((num_lifetimes, num_steps + 1), np.int64)
        room = InputSpikes(np.zeros(num_lifetimes, np.int64), starts, np.zeros(0, np.int64))
        self._networks = CompiledNetworks(parts, num_steps, room)
        inputs = [place.start for name, place in self._networks.places.items() if name not in self._networks.thetas]
        self._shift = inputs[0] if len(inputs) == 1 else 0  # with several, trains count all neurons
        self._prepared: dict[int, Callable[[int, int], None]] = {}  # by part
        self._last_way: ClosedForm | Frozen | None = None  # of the image before

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, None]:
        """Go through an image from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            way: The rule; `Frozen`: weights and adaptive thresholds stay as they are, and there are no events.
            pace: Share of the learning rates that the age of each lifetime leaves, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,), and None: rewards come from the task.
        """
        networks = self._networks
        factors = networks.begin(pace)
        step_factor = (self._task.step_factor() if self._task.follows_steps else None) or networks.no_step_factor
        self._take(self._inputs(), step_factor)
        moves = step_factor.target >= 0  # a factor that changes within the image
        if moves:
            networks.neurons.current.fill(0)
        self._run(way)
        networks.end(factors if moves else {}, changes)
        return torch.from_numpy(networks.record.num_events), None

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

    def _take(self, inputs: InputSpikes, factor: StepFactor) -> None:
        """Copy input spikes to the room of those before, and set the third factor of the steps."""
        tables = self._networks.tables
        room = tables.inputs
        if len(room.neuron) < len(inputs.neuron):
            room = room._replace(neuron=np.zeros(2 * len(inputs.neuron), dtype=np.int64))
        if room is not tables.inputs or factor is not tables.factor:
            self._networks.set_tables(tables._replace(inputs=room, factor=factor))
            self._last_way = None  # what was prepared holds the tables of before
        room.stimulus[:] = inputs.stimulus
        room.start[: len(inputs.start)] = inputs.start
        room.neuron[: len(inputs.neuron)] = inputs.neuron

    def _loop_of(self, way: Way) -> tuple[Callable[..., None], Arguments]:
        """Return the compiled loop of a way, and its arguments between networks and what is kept.

        Arguments are those of a part of the lifetimes; see `Rooms`.
        """
        networks = self._networks
        if isinstance(way, Frozen):
            return show_frozen, lambda part: (networks.rooms.spikes(part),)
        if isinstance(way, ClosedForm):
            decays = decays_of(way, self._task.num_steps)
            return show_closed_form, lambda part: (way, decays, networks.learning, *self._rooms_of(part, way))
        scalars, learning, kept = networks.shared_scalars, networks.learning, networks.kept_outputs
        if isinstance(way, FormulaRule):
            return show_formula, lambda part: (way, scalars, learning, *self._rooms_of(part, way))
        kept.begin(way)
        return show_heads, lambda part: (way, scalars, kept.of(part), learning, *self._rooms_of(part, way))

    def _rooms_of(self, part: int, way: ClosedForm | FormulaRule | HeadRule) -> tuple[Any, Any]:
        return self._networks.rooms.spikes(part), self._networks.rooms.of(part, way)

    def _run(self, way: Way) -> None:
        """Run the loop over all lifetimes, spread over threads; a teacher sees one lifetime after the other."""
        networks, task = self._networks, self._task
        loop, arguments = self._loop_of(way)
        announce(loop)
        tables = networks.frozen_tables if isinstance(way, Frozen) else networks.tables
        # Learned rules change often, and their loops take so long that preparing a call saves nothing.
        lasting = way if isinstance(way, ClosedForm | Frozen) else None
        again = lasting is not None and lasting == self._last_way
        if not again:
            self._last_way = lasting
            self._prepared.clear()

        def work(first: int, last: int) -> None:
            record = networks.record
            if task.teaches:
                record = record._replace(trail=networks.rooms.trail(first))
            run = self._prepared.get(first)
            if run is None:
                given = tables, *arguments(first), record
                if again:
                    run = self._prepared[first] = prepared(loop, *given)
                else:
                    run = lambda first, last: loop(first, last, *given)  # noqa: E731
            if not task.teaches:
                run(first, last)
                return
            for b in range(first, last):
                run(b, b + 1)
                task.teach(b, tables, networks.learning, record)

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
            return self._listed([SpikeTrain.of(torch.from_numpy(spikes)) for spikes in dense], np.arange(len(dense)))
        order: dict[int, int] = {}
        stimulus = np.array([order.setdefault(id(train), len(order)) for train in trains])
        distinct = trains if len(order) == len(trains) else list({id(train): train for train in trains}.values())
        return self._listed(distinct, stimulus)

    def _listed(self, trains: Sequence[SpikeTrain], stimulus: NDArray[np.int64]) -> InputSpikes:
        """Put distinct trains one behind the other."""
        start, neuron = trains[0].start[None], trains[0].neuron  # (S, T + 1), and of all trains
        if len(trains) > 1:
            ends = np.cumsum([len(train.neuron) for train in trains])
            start = np.array([train.start for train in trains])
            start[1:] += ends[:-1, None]
            neuron = np.concatenate([train.neuron for train in trains])
        return InputSpikes(stimulus, start, neuron + self._shift if self._shift else neuron)


@functools.lru_cache(maxsize=64)
def decays_of(form: ClosedForm, num_steps: int) -> Decays:
    """Return what spikes add to the traces of a rule, by age; without a time constant, every spike counts alike."""
    ages = np.arange(num_steps + 1)
    taus = (form.tau_pre_fast, form.tau_pre_slow, form.tau_post_fast, form.tau_post_slow)
    return Decays(*(np.exp(-ages * form.dt / tau) if tau > 0 else np.ones(len(ages)) for tau in taus))
