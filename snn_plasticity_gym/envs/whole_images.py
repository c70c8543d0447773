"""Whole images by compiled loops: from the engine's torch tensors to NumPy's views of them, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.network_tables import connections_of, populations_of
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.rooms import Rooms
from snn_plasticity_gym.kernels.closed_form import Decays, show_closed_form
from snn_plasticity_gym.kernels.compile import announce, prepared
from snn_plasticity_gym.kernels.formula_images import FormulaRule, show_formula
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.kernels.images import respond, show_frozen
from snn_plasticity_gym.kernels.kept import KeptAnswers
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.scalars import Surroundings
from snn_plasticity_gym.kernels.tables import (
    InputSpikes,
    Learning,
    Lives,
    Neurons,
    Shown,
    StepFactor,
)
from snn_plasticity_gym.kernels.trail import no_trail
from snn_plasticity_gym.kernels.weights import add_changes
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.closed_form import ClosedForm, has_closed_form
from snn_plasticity_gym.rules.whole_formula import has_formula
from snn_plasticity_gym.rules.whole_heads import has_heads
from snn_plasticity_gym.tasks.base import LivedEpisodes, Task
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.utils.threads import spread

NOTHING = np.zeros(0, dtype=np.float32)

Arguments = Callable[[int], tuple[Any, ...]]
"""Of a compiled loop, by the part of the lifetimes; see `Rooms`."""


def not_finite(lifetime: int) -> NotFiniteError:
    """Return what is raised where a rule has answered a lifetime something that is not finite in a whole episode."""
    return NotFiniteError(f"delta_d must be finite, got NaN in lifetime {lifetime}; look at the rule")


class Frozen(NamedTuple):
    """Nothing learns."""


def can_be_whole(config: EnvironmentConfig, task: Task) -> bool:
    """Whether lifetimes can live through whole episodes of a task in compiled loops, if their rule allows it.

    That takes an open loop, of which every step is kept, or a closed one that has tables; networks in the CPU's
    memory, all events of a step presented together, and no reward event by event but that of a teacher, who looks at
    changes as they are made.
    """
    if config.event_kinds == "split":
        return False
    if task.rewards_events and not (task.teaches and config.modulation == "none"):
        return False
    if not task.open_loop:
        return task.closed_loop() is not None
    return task.record_steps == task.num_steps and not (task.follows_steps and task.step_factor() is None)


def closed_form_of(rule: Rule, config: EnvironmentConfig, task: Task) -> ClosedForm | None:
    """Return the closed form of a rule that has one, and sees the scalars that it follows; else None."""
    if not has_closed_form(rule):
        return None
    form = rule.closed_form()
    if form.g != 0 and not task.factors():
        return None
    if form.factor_surrogate and "surrogate" not in config.local_state:
        return None
    if form.tau_theta > 0 and config.history_length < task.num_steps:
        return None  # what has been forgotten is in the running mean
    return form


Way = ClosedForm | FormulaRule | HeadRule | Frozen
"""How lifetimes live whole episodes."""


def way_of(
    rule: Rule, config: EnvironmentConfig, task: Task, scalars: Sequence[str], non_plastic: Tensor
) -> Way | None:
    """Return how lifetimes can live by a rule through whole episodes; None: the rule has to answer events.

    Args:
        rule: Answers events.
        config: Of the environment.
        task: What it is about.
        scalars: What its events show.
        non_plastic: Lifetimes in which nothing learns any more, bool (B,); all of them, or none.
    """
    if not can_be_whole(config, task):
        return None
    frozen = np.count_nonzero(non_plastic.numpy())
    if frozen:
        return Frozen() if frozen == len(non_plastic) else None
    form = closed_form_of(rule, config, task)
    if form is not None:
        return form
    formula = rule.whole_formula() if has_formula(rule) else None
    if formula is not None:
        return formula.tables(task.num_steps) if formula.extra_names == tuple(scalars) else None
    heads = rule.whole_heads() if has_heads(rule) else None
    if heads is not None and heads.fits(config.history_length, scalars, len(task.groups)):
        return heads.tables
    return None


class CompiledImages:
    """Shows images to all lifetimes of an engine, spread over threads.

    What loops are given is made once, and filled in anew for each image: they look at the memory of the engine's
    tensors, so a copy of an engine needs one of its own.

    Args:
        parts: Of the engine.
    """

    def __init__(self, parts: EngineParts) -> None:
        network, task, eligibility, config = parts.network, parts.task, parts.modulation.eligibility, parts.config
        self._network, self._task = network, task
        self._recorder = parts.recorder
        constants = iter(task.layer_scalars)
        layer = [next(constants, 0.0) if p.plasticity else 0.0 for p in network.projections]  # (C,)
        self._around = Surroundings(parts.scalars.reward.numpy(), np.array(layer, dtype=np.float32))
        populations, self._places = populations_of(network)
        connections = connections_of(network)
        self._shape = network.num_networks, len(populations.of_neuron)
        states: dict[str, NDArray[Any]] = {
            name: np.zeros(self._shape, dtype=np.float64 if name == "threshold" else np.float32)
            for name in Neurons._fields
        }
        self._neurons = Neurons(**states)
        self._kept = KeptAnswers()
        self._rooms = Rooms(populations, connections, task.num_steps, config.history_length)
        self._thetas = {  # (B, N) each
            name: self._neurons.theta[:, self._places[name]]
            for name, population in network.populations.items()
            if population.lif is not None
        }
        inputs = [place.start for name, place in self._places.items() if name not in self._thetas]
        self._shift = inputs[0] if len(inputs) == 1 else 0  # with several, trains count all neurons
        self._learning = Learning(
            config.history_length,
            *parts.answered_sides,
            pace=np.ones(self._shape[0], dtype=np.float32),
            held=NOTHING if eligibility is None else eligibility.fresh.numpy(),
            keep=np.ones(task.num_steps, dtype=np.float32) if eligibility is None else eligibility.keep.numpy(),
        )
        shape = self._shape[0], task.num_steps + 1
        nothing = InputSpikes(np.zeros(shape[0], np.int64), np.zeros(shape, np.int64), np.zeros(0, np.int64))
        keys = network.draws.keys.numpy().view(np.uint64)  # (B,)
        weights, factor = network.weights.numpy(), self._no_step_factor()
        self._set_lives(Lives(populations, connections, self._neurons, weights, nothing, factor, keys))
        self._shown = Shown(
            raster=parts.recorder.whole.numpy(),
            counts=parts.recorder.counts.numpy(),
            first=parts.recorder.first.numpy(),
            totals=parts.recorder.totals.numpy(),
            num_events=np.zeros(self._shape[0], dtype=np.int64),
            changes=np.zeros((self._shape[0], 4, len(task.groups))),
            trail=no_trail(),
        )

    def _set_lives(self, lives: Lives) -> None:
        """Let loops work on these networks; what was prepared for others is of no use any more."""
        # Without a rise there is no adaptive threshold to update, see `fire`: theta stays as it is.
        theta_plus = np.zeros_like(lives.populations.theta_plus)
        self._lives = lives
        self._frozen_lives = lives._replace(populations=lives.populations._replace(theta_plus=theta_plus))
        self._prepared: dict[int, Callable[[int, int], None]] = {}  # by part
        self._lived_by: ClosedForm | Frozen | None = None  # in the episode before

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, LivedEpisodes | None]:
        """Go through an image from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            way: The rule; `Frozen`: weights and adaptive thresholds stay as they are, and there are no events.
            pace: Share of the learning rates that the age of each lifetime leaves, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,), and of a closed loop what was paid.
        """
        told = self._begin(pace)
        factor = (self._task.step_factor() if self._task.follows_steps else None) or self._no_step_factor()
        self._take(self._inputs(), factor)
        if factor.target >= 0:
            self._neurons.current.fill(0)
        self._live(way)
        self._end(told if factor.target >= 0 else {}, changes)
        return torch.from_numpy(self._shown.num_events), None

    def _begin(self, pace: Tensor) -> Mapping[str, Tensor]:
        """Take over from the engine what loops begin with; return the third factors."""
        self._learning.pace[:] = pace.numpy()
        self._shown.changes.fill(0)
        told = self._task.factors()
        for name, values in told.items():
            self._neurons.factor[:, self._places[name]] = values.numpy()
        self._take_thresholds()
        return told

    def _end(self, told: Mapping[str, Tensor], changes: Tensor) -> None:
        """Hand over to the engine what loops end with: spikes, thresholds, third factors, statistics of changes."""
        wrong = add_changes(self._shown.changes, changes.numpy())
        if wrong >= 0:
            raise not_finite(wrong)
        for name, theta in self._thetas.items():
            self._network.states[name].theta.numpy()[:] = theta
        for name, values in told.items():
            values.numpy()[:] = self._neurons.factor[:, self._places[name]]
        self._recorder.take_counts()

    def _take_thresholds(self) -> None:
        for name, theta in self._thetas.items():
            theta[:] = self._network.states[name].theta.numpy()

    def _no_step_factor(self) -> StepFactor:
        return _nothing_told(self._shape[0])

    def respond(self, trains: Sequence[SpikeTrain], keys: NDArray[np.uint64]) -> Tensor:
        """Show images to all networks as they are: no plasticity, adaptive thresholds frozen, no third factor.

        Args:
            trains: Input spikes of M images, the same for all networks.
            keys: Of the random numbers of groups while each image is shown, (M,), the same for all networks.

        Returns:
            Spikes of each neuron of the task's readout, int64 (B, M, N).
        """
        place = self._places[self._task.readout]
        counts = np.empty((self._shape[0], len(trains), place.stop - place.start), dtype=np.int64)
        self._take_thresholds()
        self._neurons.current.fill(0)
        inputs, keys_here = self._listed(trains, np.arange(len(trains))), self._lives.keys.copy()
        lives = self._frozen_lives._replace(inputs=inputs, factor=self._no_step_factor(), keys=keys_here)
        announce(respond)

        def work(first: int, last: int) -> None:
            raster = np.empty(self._shown.raster.shape[1:], dtype=np.bool_)  # (T, N)
            respond(first, last, lives, keys, place.start, self._rooms.spikes(first), raster, counts)

        spread(work, len(counts))
        return torch.from_numpy(counts)

    def _take(self, inputs: InputSpikes, factor: StepFactor) -> None:
        """Put input spikes to where those before stood, and let loops look at third factors."""
        room = self._lives.inputs
        if len(room.neuron) < len(inputs.neuron):
            room = room._replace(neuron=np.zeros(2 * len(inputs.neuron), dtype=np.int64))
        if room is not self._lives.inputs or factor is not self._lives.factor:
            self._set_lives(self._lives._replace(inputs=room, factor=factor))
        room.stimulus[:] = inputs.stimulus
        room.start[: len(inputs.start)] = inputs.start
        room.neuron[: len(inputs.neuron)] = inputs.neuron

    def _loop_of(self, way: Way) -> tuple[Callable[..., None], Arguments]:
        """Return the compiled loop of a way, and its arguments between networks and what is kept.

        Arguments are those of a part of the lifetimes; see `Rooms`.
        """
        if isinstance(way, Frozen):
            return show_frozen, lambda part: (self._rooms.spikes(part),)
        if isinstance(way, ClosedForm):
            decays = decays_of(way, self._task.num_steps)
            return show_closed_form, lambda part: (way, decays, self._learning, *self._rooms_of(part, way))
        around, learning = self._around, self._learning
        if isinstance(way, FormulaRule):
            return show_formula, lambda part: (way, around, learning, *self._rooms_of(part, way))
        self._kept.begin(way)
        return show_heads, lambda part: (way, around, self._kept.of(part), learning, *self._rooms_of(part, way))

    def _rooms_of(self, part: int, way: ClosedForm | FormulaRule | HeadRule) -> tuple[Any, Any]:
        return self._rooms.spikes(part), self._rooms.of(part, way)

    def _live(self, way: Way) -> None:
        """Let all lifetimes live by a rule, spread over threads; a teacher sees one lifetime after the other."""
        loop, arguments = self._loop_of(way)
        announce(loop)
        lives = self._frozen_lives if isinstance(way, Frozen) else self._lives
        # Learned rules change often, and their loops take so long that a look at what they are given is nothing.
        lasting = way if isinstance(way, ClosedForm | Frozen) else None
        again = lasting is not None and lasting == self._lived_by
        if not again:
            self._lived_by = lasting
            self._prepared.clear()
        task = self._task

        def work(first: int, last: int) -> None:
            shown = self._shown._replace(trail=self._rooms.trail(first)) if task.teaches else self._shown
            run = self._prepared.get(first)
            if run is None:
                given = lives, *arguments(first), shown
                run = prepared(loop, *given) if again else functools.partial(_call, loop, given)
                if again:
                    self._prepared[first] = run
            if not task.teaches:
                run(first, last)
                return
            for b in range(first, last):
                run(b, b + 1)
                task.teach(b, lives, self._learning, shown)

        spread(work, self._shape[0])

    def _inputs(self) -> InputSpikes:
        """List the input spikes of the episodes that have begun."""
        trains = self._task.whole_trains()
        if trains is None:
            given = self._task.whole_input(torch.arange(self._shape[0]))
            dense = np.zeros((self._shape[0], self._task.num_steps, self._shape[1]), dtype=np.bool_)
            for name, spikes in given.items():
                dense[:, :, self._places[name]] = spikes.numpy()
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


@functools.lru_cache(maxsize=8)
def _nothing_told(num_lifetimes: int) -> StepFactor:
    """Return a factor that does not change within an image."""
    nothing = np.zeros(0, dtype=np.int64)
    return StepFactor(0, -1, np.zeros((num_lifetimes, 0), np.float32), 0.0, False, 0.0, 1.0, nothing, nothing, NOTHING)


def _call(loop: Callable[..., None], given: tuple[Any, ...], first: int, last: int) -> None:
    loop(first, last, *given)
