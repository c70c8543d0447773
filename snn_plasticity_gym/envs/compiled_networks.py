"""The networks of an engine as the tables that compiled loops work on: NumPy views of the engine's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.network_tables import connections_of, populations_of
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.rooms import Rooms
from snn_plasticity_gym.kernels.kept import KeptOutputs
from snn_plasticity_gym.kernels.scalars import SharedScalars
from snn_plasticity_gym.kernels.tables import ImageRecord, InputSpikes, Learning, Networks, Neurons, StepFactor
from snn_plasticity_gym.kernels.trail import no_trail
from snn_plasticity_gym.kernels.weights import add_changes
from snn_plasticity_gym.utils.nonfinite import NotFiniteError

NOTHING = np.zeros(0, dtype=np.float32)


def not_finite(lifetime: int) -> NotFiniteError:
    """Return the error for a weight change that is not finite, somewhere in a whole episode of a lifetime."""
    return NotFiniteError(f"delta_d must be finite, got NaN in lifetime {lifetime}; look at the rule")


class CompiledNetworks:
    """Tables of all lifetimes of an engine, made once and filled in anew for each episode.

    They view the memory of the engine's tensors, so a copy of an engine needs tables of its own.

    Attributes:
        tables: Networks and their input.
        frozen_tables: The same with adaptive thresholds that stay as they are.
        learning: How weights follow the rule.
        record: Where loops write spikes, events and weight changes.
        shared_scalars: Scalars that hold for whole episodes.
        neurons: State of all neurons.
        thetas: Adaptive thresholds of each population, (B, N), parts of `neurons`.
        rooms: Working memory of the loops.
        kept_outputs: Outputs of policies for pairs of histories, kept until the rule changes.
        no_step_factor: Third factor of the steps where none changes within an image.
        places: Slice of each population among all neurons of a network.
        num_lifetimes: B.
        num_neurons: N, neurons of a network.

    Args:
        parts: Of the engine.
        num_steps: T, most steps of an episode.
        inputs: Input spikes that loops begin with; their room is that of all episodes.
    """

    def __init__(self, parts: EngineParts, num_steps: int, inputs: InputSpikes) -> None:
        network, eligibility = parts.network, parts.modulation.eligibility
        self._states, self._factors = network.states, parts.task.factors
        constants = iter(parts.task.layer_scalars)
        layer = [next(constants, 0.0) if p.plasticity else 0.0 for p in network.projections]  # (C,)
        self.shared_scalars = SharedScalars(parts.scalars.reward.numpy(), np.array(layer, dtype=np.float32))
        populations, self.places = populations_of(network)
        connections = connections_of(network)
        self.num_lifetimes, self.num_neurons = network.num_networks, len(populations.of_neuron)
        shape = self.num_lifetimes, self.num_neurons
        neurons: dict[str, NDArray[Any]] = {
            name: np.zeros(shape, dtype=np.float64 if name == "threshold" else np.float32) for name in Neurons._fields
        }
        self.neurons = Neurons(**neurons)
        self.kept_outputs = KeptOutputs()
        self.rooms = Rooms(populations, connections, num_steps, parts.config.history_length)
        self.thetas = {  # (B, N) each
            name: self.neurons.theta[:, self.places[name]]
            for name, population in network.populations.items()
            if population.lif is not None
        }
        keep = np.ones(1, dtype=np.float32) if eligibility is None else eligibility.keep.numpy()
        self.learning = Learning(
            parts.config.history_length,
            *parts.event_sides,
            pace=np.ones(self.num_lifetimes, dtype=np.float32),
            eligibility=NOTHING if eligibility is None else eligibility.fresh.numpy(),
            keep=np.resize(keep, num_steps),  # (T,); of a closed loop one window after the other
        )
        keys = network.draws.keys.numpy().view(np.uint64)  # (B,)
        self.no_step_factor = _no_step_factor(self.num_lifetimes)
        weights = network.weights.numpy()
        names = [projection.name for projection in network.projections]
        watched = names.index(parts.task.winner_projection) if parts.task.winner_projection else -1
        self.set_tables(
            Networks(populations, connections, self.neurons, weights, inputs, self.no_step_factor, keys, watched)
        )
        num_inputs = int(populations.size[connections.source[watched]]) if watched >= 0 else 0
        self.record = ImageRecord(
            raster=parts.recorder.whole.numpy(),
            counts=parts.recorder.counts.numpy(),
            first=parts.recorder.first.numpy(),
            totals=parts.recorder.totals.numpy(),
            num_events=np.zeros(self.num_lifetimes, dtype=np.int64),
            changes=np.zeros((self.num_lifetimes, 4, len(parts.task.groups))),
            winner_weights=np.zeros((self.num_lifetimes, num_inputs), dtype=np.float32),
            trail=no_trail(),
        )

    def set_tables(self, tables: Networks) -> None:
        """Replace the networks' tables, where an array has moved."""
        # Without a rise there is no adaptive threshold to update, see `fire`: theta stays as it is.
        theta_plus = np.zeros_like(tables.populations.theta_plus)
        self.tables = tables
        self.frozen_tables = tables._replace(populations=tables.populations._replace(theta_plus=theta_plus))

    def begin(self) -> Mapping[str, Tensor]:
        """Copy what an episode begins with from the engine; return the third factors, (B, N) by population."""
        factors = self._factors()
        for name, values in factors.items():
            self.neurons.factor[:, self.places[name]] = values.numpy()
        self.take_thresholds()
        return factors

    def end(self, factors: Mapping[str, Tensor], made: NDArray[np.float64], changes: Tensor) -> None:
        """Copy what an episode ends with to the engine: thresholds, third factors, statistics of changes.

        Args:
            factors: Those third factors that loops may have changed.
            made: Statistics of the weight changes of one episode or several, (M, B, 4, heads).
            changes: Those to add to, float64 (4, heads); see `WeightChanges`.

        Raises:
            NotFiniteError: A weight change is not finite.
        """
        wrong = add_changes(made, changes.numpy())
        if wrong >= 0:
            raise not_finite(wrong)
        for name, theta in self.thetas.items():
            self._states[name].theta.numpy()[:] = theta
        for name, values in factors.items():
            values.numpy()[:] = self.neurons.factor[:, self.places[name]]

    def take_thresholds(self) -> None:
        """Copy the adaptive thresholds from the engine."""
        for name, theta in self.thetas.items():
            theta[:] = self._states[name].theta.numpy()


def _no_step_factor(num_lifetimes: int) -> StepFactor:
    """Return a factor that does not change within an image."""
    nothing = np.zeros(0, dtype=np.int64)
    return StepFactor(0, -1, np.zeros((num_lifetimes, 0), np.float32), 0.0, False, 0.0, 1.0, nothing, nothing, NOTHING)
