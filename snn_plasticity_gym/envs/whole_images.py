"""Whole images under a rule in closed form: from the engine's torch tensors to the compiled loop and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.kernels.images import advance
from snn_plasticity_gym.kernels.tables import Connections, Neurons, Populations
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network, NetworkActivity, pulse
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.closed_form import ClosedForm, HasClosedForm
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.image_task import image_task

NOTHING = np.zeros(0, dtype=np.float32)


def closed_form_of(rule: Rule, config: EnvironmentConfig, task: Task) -> ClosedForm | None:
    """Return the rule's closed form if images can be shown by it alone, else None.

    That takes an open loop, a rule that has one, networks in the CPU's memory, all events of a step presented together,
    no reward event by event, histories that never forget (K = T), and the scalars that the rule follows.
    """
    if not isinstance(rule, HasClosedForm) or config.device != "cpu" or task.rewards_events:
        return None
    if config.event_kinds == "split" or config.history_length < task.num_steps:
        return None
    form = rule.closed_form()
    if form.g != 0 and not task.factors():
        return None
    if form.factor_surrogate and "surrogate" not in config.local_state:
        return None
    return form


class CompiledImages:
    """Shows images to all lifetimes of an engine, which live by a rule in closed form.

    Args:
        network: The networks.
        task: What they are in.
        eligibility: Where changes are held back; None: they act at once.
    """

    def __init__(self, network: Network, task: Task, eligibility: Eligibility | None) -> None:
        self._network = network
        self._task = task
        self._eligibility = eligibility
        self._populations, self._places = _populations(network)
        # Without a rise there is no adaptive threshold to update, see `fire`: theta stays as it is.
        self._frozen = self._populations._replace(theta_plus=np.zeros_like(self._populations.theta_plus))
        self._connections = _connections(network)
        num_neurons = int(self._populations.size.sum())
        shape, num_steps = (network.num_networks, num_neurons), task.num_steps
        single = ("v", "refractory", "theta", "current", "factor", "surrogate")
        states: dict[str, NDArray[Any]] = {
            name: np.zeros(shape, dtype=np.float32 if name in single else np.float64) for name in Neurons._fields
        }
        self._neurons = Neurons(**states)
        self._raster = np.zeros((network.num_networks, num_steps, num_neurons), dtype=np.bool_)
        rest = np.zeros(num_neurons, dtype=np.float32)
        for p, place in enumerate(self._places.values()):
            rest[place] = self._populations.v_rest[p]
        self._rest = rest  # (N,) mV

    def show(self, form: ClosedForm | None, raster: dict[str, Tensor], pace: Tensor, changes: Tensor) -> Tensor:
        """Go through an image from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            form: The rule; None: weights and adaptive thresholds stay as they are, and there are no events.
            raster: Spikes of every population, bool (B, T, N); those of the input are given, the others filled in.
            pace: Share of the learning rates that the age of each lifetime leaves, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,).
        """
        num_steps = self._raster.shape[1]
        for name, place in self._places.items():
            if self._network.populations[name].lif is None:
                self._raster[:, :, place] = raster[name].numpy()
        self._rest_all()
        num_events = np.zeros(self._network.num_networks, dtype=np.int64)
        weights = self._network.weights.numpy()
        held, keep = NOTHING, np.ones(num_steps, dtype=np.float32)
        if self._eligibility is not None and form is not None:
            held, keep = self._eligibility.traces.numpy(), self._eligibility.keep.numpy()

        def run(first: int, last: int, simulate: bool, learn: bool) -> None:
            advance(
                first,
                last,
                simulate,
                learn and form is not None,
                self._populations if form is not None else self._frozen,
                self._connections,
                self._neurons,
                weights,
                self._raster,
                form or ClosedForm(),
                pace.numpy(),
                held,
                keep,
                num_events,
                changes.numpy(),
            )

        if self._task.follows_steps:
            everyone = torch.arange(self._network.num_networks)
            for step in range(num_steps):
                for name, current in self._task.currents(everyone, step).items():
                    self._neurons.current[:, self._places[name]] = current.numpy()
                run(step, step + 1, True, False)
                self._task.observe(everyone, step, self._activity(step))
                for name, factor in self._task.factors().items():
                    self._neurons.factor[:, self._places[name]] = factor.numpy()
                run(step, step + 1, False, True)
        else:
            run(0, num_steps, True, True)
        for name, place in self._places.items():
            if name in self._network.states:
                raster[name].numpy()[:] = self._raster[:, :, place]
                self._network.states[name].theta.numpy()[:] = self._neurons.theta[:, place]
        return torch.from_numpy(num_events)

    def respond(self, spikes: Tensor) -> Tensor:
        """Show an image to all networks as they are: no plasticity, adaptive thresholds frozen, no third factor.

        Args:
            spikes: Input spikes, the same for all networks, bool (T, n_input).

        Returns:
            Spikes of each neuron of the task's readout, int64 (B, N).
        """
        self._raster[:, :, self._places[image_task(self._task).input_name]] = spikes.numpy()
        self._rest_all()
        advance(
            0,
            self._raster.shape[1],
            True,
            False,
            self._frozen,
            self._connections,
            self._neurons,
            self._network.weights.numpy(),
            self._raster,
            ClosedForm(),
            NOTHING,
            NOTHING,
            NOTHING,
            np.zeros(self._network.num_networks, dtype=np.int64),
            np.zeros((4, 1)),
        )
        readout = self._raster[:, :, self._places[self._task.readout]]  # (B, T, N)
        return torch.from_numpy(readout.sum(axis=1, dtype=np.int64))

    def _rest_all(self) -> None:
        """Begin an image: everything at rest but the adaptive thresholds, which are the networks'."""
        for state in self._neurons:
            state.fill(0)
        self._neurons.v[:] = self._rest
        for name, place in self._places.items():
            if name in self._network.states:
                self._neurons.theta[:, place] = self._network.states[name].theta.numpy()

    def _activity(self, step: int) -> NetworkActivity:
        """Return the spikes of a step, without the lists that only the search for events needs."""
        spikes = {name: torch.from_numpy(self._raster[:, step, place]) for name, place in self._places.items()}
        return NetworkActivity(spikes, {}, {})


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
