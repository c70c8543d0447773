"""Whole images by compiled loops: from the engine's torch tensors to NumPy's views of them, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import PHASES, EnvironmentConfig
from snn_plasticity_gym.envs.recorder import Recorder
from snn_plasticity_gym.kernels.closed_form import Decays, show_closed_form
from snn_plasticity_gym.kernels.compile import announce
from snn_plasticity_gym.kernels.formula_images import FormulaRule, show_formula
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.kernels.images import respond, show_frozen
from snn_plasticity_gym.kernels.kept_lines import KeptLines
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.scalars import Surroundings
from snn_plasticity_gym.kernels.tables import (
    Connections,
    InputSpikes,
    Learning,
    Lives,
    Neurons,
    Populations,
    Shown,
    StepFactor,
)
from snn_plasticity_gym.kernels.weights import add_changes
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network, pulse
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.closed_form import ClosedForm, has_closed_form
from snn_plasticity_gym.rules.whole_formula import has_formula
from snn_plasticity_gym.rules.whole_heads import has_heads
from snn_plasticity_gym.tasks.base import LivedEpisodes, Task
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.utils.threads import spread

NOTHING = np.zeros(0, dtype=np.float32)


class Frozen:
    """Nothing learns."""


def can_be_whole(config: EnvironmentConfig, task: Task) -> bool:
    """Whether lifetimes can live through whole episodes of a task in compiled loops, if their rule allows it.

    That takes an open loop, of which every step is kept, or a closed one that has tables; networks in the CPU's
    memory, all events of a step presented together, and no reward event by event.
    """
    if config.device != "cpu" or task.rewards_events or config.event_kinds == "split":
        return False
    if not task.open_loop:
        return task.closed_loop() is not None
    return task.record_steps == task.num_steps and not (task.follows_steps and task.step_factor() is None)


def _closed_form_of(rule: Rule, config: EnvironmentConfig, task: Task) -> ClosedForm | None:
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
    if non_plastic.numpy().any():
        return Frozen() if non_plastic.all() else None
    form = _closed_form_of(rule, config, task)
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

    Args:
        network: The networks.
        task: What they are in.
        eligibility: Where changes are held back; None: they act at once.
        recorder: Where spikes are kept.
        scalars: What synapses may know beside spikes and weight.
        config: Of the environment.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        eligibility: Eligibility | None,
        recorder: Recorder,
        scalars: LocalScalars,
        config: EnvironmentConfig,
    ) -> None:
        self._network = network
        self._task = task
        self._eligibility = eligibility
        self._recorder = recorder
        self._scalars = scalars
        constants = iter(task.layer_scalars)
        self._layer = np.array(  # (C,)
            [next(constants, 0.0) if p.plasticity else 0.0 for p in network.projections], dtype=np.float32
        )
        self._history_length = config.history_length
        sides = {side for phase in PHASES[config.event_kinds] for side in phase}
        self._at_pre, self._at_post = False in sides, True in sides
        self._populations, self._places = _populations(network)
        # Without a rise there is no adaptive threshold to update, see `fire`: theta stays as it is.
        self._frozen = self._populations._replace(theta_plus=np.zeros_like(self._populations.theta_plus))
        self._connections = _connections(network)
        self._shape = network.num_networks, len(self._populations.of_neuron)
        states: dict[str, NDArray[Any]] = {
            name: np.zeros(self._shape, dtype=np.float64 if name == "threshold" else np.float32)
            for name in Neurons._fields
        }
        self._neurons = Neurons(**states)
        self._kept = KeptLines()
        self._computed = [name for name, population in network.populations.items() if population.lif is not None]
        inputs = [place.start for name, place in self._places.items() if name not in self._computed]
        self._shift = inputs[0] if len(inputs) == 1 else 0  # with several, trains count all neurons
        self._keep = np.ones(task.num_steps, dtype=np.float32) if eligibility is None else eligibility.keep.numpy()

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, LivedEpisodes | None]:
        """Go through an image from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            way: The rule; `Frozen`: weights and adaptive thresholds stay as they are, and there are no events.
            pace: Share of the learning rates that the age of each lifetime leaves, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,), and of a closed loop what was paid.
        """
        num_lifetimes = self._shape[0]
        shown, told = self._room(changes), self._task.factors()
        self._take_factors(told)
        factor = (self._task.step_factor() if self._task.follows_steps else None) or self._no_step_factor()
        if factor.target >= 0:
            self._neurons.current.fill(0)
        self._take_thresholds()
        if isinstance(way, Frozen):
            _run(show_frozen, num_lifetimes, self._lives(self._frozen, self._inputs(), factor), shown)
        else:
            lives = self._lives(self._populations, self._inputs(), factor)
            self._live(way, lives, self._learning(pace), shown)
            self._count_changes(shown, changes)
        self._keep_thresholds()
        if factor.target >= 0:
            for name, values in told.items():
                values.numpy()[:] = self._neurons.factor[:, self._places[name]]
        self._keep_counts(shown)
        return torch.from_numpy(shown.num_events), None

    def _room(self, changes: Tensor) -> Shown:
        """Return room for what is kept of an episode."""
        num_lifetimes = self._shape[0]
        counts, first = np.empty((2, *self._shape), dtype=np.int64)
        return Shown(
            raster=self._recorder.whole.numpy(),
            counts=counts,
            first=first,
            num_events=np.empty(num_lifetimes, dtype=np.int64),
            changes=np.zeros((num_lifetimes, *changes.shape)),
        )

    def _take_factors(self, told: Mapping[str, Tensor]) -> None:
        for name, values in told.items():
            self._neurons.factor[:, self._places[name]] = values.numpy()

    def _count_changes(self, shown: Shown, changes: Tensor) -> None:
        wrong = add_changes(shown.changes, changes.numpy())
        if wrong >= 0:
            raise NotFiniteError(f"delta_d must be finite, got NaN in lifetime {wrong}; look at the rule")

    def _keep_thresholds(self) -> None:
        for name in self._computed:
            self._network.states[name].theta.numpy()[:] = self._neurons.theta[:, self._places[name]]

    def _keep_counts(self, shown: Shown) -> None:
        self._recorder.record.counted = {
            name: SpikeCounts(torch.from_numpy(shown.counts[:, place]), torch.from_numpy(shown.first[:, place]))
            for name, place in self._places.items()
        }

    def _no_step_factor(self) -> StepFactor:
        return _nothing_told(self._shape[0])

    def _surroundings(self) -> Surroundings:
        return Surroundings(self._scalars.reward.numpy(), self._layer)

    def respond(self, trains: Sequence[SpikeTrain]) -> Tensor:
        """Show images to all networks as they are: no plasticity, adaptive thresholds frozen, no third factor.

        Args:
            trains: Input spikes of M images, the same for all networks.

        Returns:
            Spikes of each neuron of the task's readout, int64 (B, M, N).
        """
        place = self._places[self._task.readout]
        counts = np.empty((self._shape[0], len(trains), place.stop - place.start), dtype=np.int64)
        self._take_thresholds()
        self._neurons.current.fill(0)
        inputs = self._listed(trains, np.arange(len(trains)))
        _run(respond, len(counts), self._lives(self._frozen, inputs, self._no_step_factor()), place.start, counts)
        return torch.from_numpy(counts)

    def _lives(self, populations: Populations, inputs: InputSpikes, factor: StepFactor) -> Lives:
        return Lives(populations, self._connections, self._neurons, self._network.weights.numpy(), inputs, factor)

    def _live(self, way: ClosedForm | FormulaRule | HeadRule, lives: Lives, learning: Learning, shown: Shown) -> None:
        """Let all lifetimes live by a rule; arguments as those of the loops."""
        count = self._shape[0]
        if isinstance(way, ClosedForm):
            _run(show_closed_form, count, lives, way, decays_of(way, self._task.num_steps), learning, shown)
            return
        around = self._surroundings()
        if isinstance(way, FormulaRule):
            _run(show_formula, count, lives, way, around, learning, shown)
            return
        kept = self._kept
        kept.begin(way)
        announce(show_heads)
        spread(
            lambda first, last: show_heads(first, last, lives, way, around, kept.of(first), learning, shown), count
        )  # each part keeps lines of its own

    def _take_thresholds(self) -> None:
        for name in self._computed:
            self._neurons.theta[:, self._places[name]] = self._network.states[name].theta.numpy()

    def _learning(self, pace: Tensor) -> Learning:
        held = NOTHING if self._eligibility is None else self._eligibility.fresh.numpy()
        return Learning(self._history_length, self._at_pre, self._at_post, pace.numpy(), held, self._keep)

    def _inputs(self) -> InputSpikes:
        """List the input spikes of the episodes that have begun."""
        trains = self._task.whole_trains()
        if trains is None:
            given = self._task.whole_input(torch.arange(self._shape[0]))
            dense = np.zeros((self._shape[0], self._task.num_steps, self._shape[1]), dtype=np.bool_)
            for name, spikes in given.items():
                dense[:, :, self._places[name]] = spikes.numpy()
            return self._listed([SpikeTrain.of(torch.from_numpy(spikes)) for spikes in dense], np.arange(len(dense)))
        places = {id(train): train for train in trains}
        order = {key: number for number, key in enumerate(places)}
        stimulus = np.array([order[id(train)] for train in trains])
        return self._listed(list(places.values()), stimulus)

    def _listed(self, trains: Sequence[SpikeTrain], stimulus: NDArray[np.int64]) -> InputSpikes:
        """Put distinct trains one behind the other."""
        start, neuron = trains[0].start[None], trains[0].neuron  # (S, T + 1), and of all trains
        if len(trains) > 1:
            ends = np.cumsum([len(train.neuron) for train in trains])
            start = np.array([train.start for train in trains])
            start[1:] += ends[:-1, None]
            neuron = np.concatenate([train.neuron for train in trains])
        return InputSpikes(stimulus, start, neuron + self._shift if self._shift else neuron)


def _run(loop: Callable[..., None], num_lifetimes: int, *arguments: Any) -> None:
    """Run a loop over all lifetimes, spread over threads."""
    announce(loop)
    spread(lambda first, last: loop(first, last, *arguments), num_lifetimes)


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


def _populations(network: Network) -> tuple[Populations, dict[str, slice]]:
    """Return the constants of all populations, and where the neurons of each stand among those of a network."""
    plain = LIFParams()
    params = [population.lif or plain for population in network.populations.values()]
    sizes = np.array([population.size for population in network.populations.values()], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    places = {
        name: slice(int(start), int(start + size))
        for name, start, size in zip(network.populations, starts, sizes, strict=True)
    }
    single = {
        "leak": [network.dt / p.tau_mem for p in params],
        "v_rest": [p.v_rest for p in params],
        "v_reset": [p.v_reset for p in params],
        "v_th": [p.v_th for p in params],
        "distance": [p.v_th - p.v_rest for p in params],
        "v_min": [p.v_min for p in params],
        "resistance": [p.resistance for p in params],
        "silent_steps": [p.silent_steps(network.dt) for p in params],
        "theta_plus": [p.theta_plus for p in params],
        "theta_decay": [p.threshold_decay(network.dt) for p in params],
    }
    constants = Populations(
        start=starts,
        size=sizes,
        computed=np.array([population.lif is not None for population in network.populations.values()]),
        one_spike=np.array([p.one_spike for p in params]),
        of_neuron=np.repeat(np.arange(len(sizes)), sizes),
        **{name: np.array(values, dtype=np.float32) for name, values in single.items()},
    )
    return constants, places


def _connections(network: Network) -> Connections:
    """Return the constants of all projections."""
    index = {name: place for place, name in enumerate(network.populations)}
    projections = network.projections
    single = {
        "gain": [pulse(p.gain, network.dt) for p in projections],
        "scale": [p.plasticity.scale if p.plasticity else 0.0 for p in projections],
        "low": [p.plasticity.w_min if p.plasticity else 0.0 for p in projections],
        "high": [p.plasticity.w_max if p.plasticity else 0.0 for p in projections],
    }
    return Connections(
        source=np.array([index[p.source] for p in projections], dtype=np.int64),
        target=np.array([index[p.target] for p in projections], dtype=np.int64),
        offset=np.array([network.offsets.get(p.name, 0) for p in projections], dtype=np.int64),
        one_to_one=np.array([p.one_to_one for p in projections]),
        autapses=np.array([p.autapses for p in projections]),
        recurrent=np.array([p.recurrent for p in projections]),
        plastic=np.array([p.plasticity is not None for p in projections]),
        head=np.array([p.plasticity.group if p.plasticity else 0 for p in projections], dtype=np.int64),
        **{name: np.array(values, dtype=np.float32) for name, values in single.items()},
    )
