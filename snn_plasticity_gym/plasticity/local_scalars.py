"""Local scalars: variables of the postsynaptic neuron in an event, in addition to spikes and weight.

With V the membrane potential before the reset, theta the adaptive part of the threshold, both in mV:

    potential  u = (V_th + theta - V) / (V_th - V_rest), the distance to threshold; at most 0 if it fires
    surrogate  1 / (1 + 2 |u|)^2, the pseudo-derivative of the spike
               (fast sigmoid; Zenke & Ganguli, SuperSpike, 2018, eq. 3, with beta = 2 in units of V_th - V_rest)
    theta      theta, mV
    factor     the task's third factor
    reward     the lifetime's last reward minus the mean of earlier ones; 0 before the second reward
    layer      a constant of the projection, in tasks that define one

All but the last are values of a neuron, shared by its incoming synapses.

Axes: B lifetimes, R lifetimes of one call, N neurons, E events, X scalars.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.kernels.weights import look_up_post
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.utils.state import State, restore_all

LAYER = "layer"
TAKEN = ("pre", "post", "history", "group", "kind", "mask")  # reserved by formulas and observations


class NeuronView(NamedTuple):
    """Input of a local scalar: R lifetimes of one population, right after a time step."""

    population: Population
    potential: Tensor  # (R, N) mV, before the reset
    theta: Tensor  # (R, N) mV, adaptive threshold used in this step
    spikes: Tensor  # bool (R, N)
    factor: Tensor  # (R, N) third factor; 0 without one
    reward: Tensor  # (R, 1) last reward minus the mean of earlier ones


LocalScalar = Callable[[NeuronView], Tensor]  # returns (R, N), or (R, 1) if it is the same for all neurons


def potential(view: NeuronView) -> Tensor:
    """Return each neuron's distance to threshold, in units of V_th - V_rest, (R, N)."""
    lif = view.population.lif
    assert lif is not None
    return (lif.v_th + view.theta - view.potential) / (lif.v_th - lif.v_rest)


def surrogate(view: NeuronView) -> Tensor:
    """Return the pseudo-derivative of each neuron's spike, (R, N)."""
    return (1.0 + 2.0 * potential(view).abs()).square().reciprocal()


LOCAL_SCALARS: dict[str, LocalScalar] = {
    "potential": potential,
    "surrogate": surrogate,
    "theta": lambda view: view.theta,
    "factor": lambda view: view.factor,
    "reward": lambda view: view.reward,
}
"""Local scalars by the name that the setting `local_state` gives them."""


def register_local_scalar(name: str, scalar: LocalScalar) -> None:
    """Register a user-defined local scalar for `local_state`.

    Args:
        name: Its name, an identifier; usable in formulas, too.
        scalar: Maps a `NeuronView` to one number per neuron, (R, N), or per lifetime, (R, 1).

    Raises:
        ConfigError: The name is taken or no identifier, or the scalar cannot be called.
    """
    if LOCAL_SCALARS.get(name, scalar) is not scalar or name == LAYER:
        raise ConfigError(f"there is a local scalar {name!r} already; choose another name")
    identifier = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    if not identifier or name[0] in "xyw" or name in TAKEN:
        raise ConfigError(
            "the name of a local scalar must be an identifier that does not begin with x, y or w, as traces and "
            f"weight do in formulas, and is none of {', '.join(TAKEN)}, got {name!r}"
        )
    if not callable(scalar):
        raise ConfigError(f"the local scalar {name!r} must be callable, got {scalar!r}")
    LOCAL_SCALARS[name] = scalar


def shown_scalars(
    local_state: Sequence[str], always: Sequence[str], has_factor: bool, num_plastic: int, layer: Sequence[float]
) -> tuple[str, ...]:
    """Return the scalars of events, in Gymnasium's order of the keys of a `Dict`.

    Args:
        local_state: The setting `local_state`.
        always: Further scalars of the task.
        has_factor: Whether it has a third factor.
        num_plastic: Number of plastic projections.
        layer: The constant of each of them, if the task has one.

    Raises:
        ConfigError: There is no such scalar, not in this task, or one is given twice.
    """
    for name in (*local_state, *always):
        if name not in LOCAL_SCALARS and name != LAYER:
            raise ConfigError(unknown("local scalar", name, LOCAL_SCALARS))
        if list(local_state).count(name) > 1:
            raise ConfigError(f"local_state names {name} twice; leave one out")
    if "factor" in local_state and not has_factor:
        raise ConfigError(
            "local_state names factor, and this environment has no third factor; set third_factor where there is such "
            "a setting, or leave factor out"
        )
    if LAYER in local_state and len(layer) != num_plastic:
        raise ConfigError("local_state names layer, which this environment does not give; leave it out")
    return tuple(sorted({*local_state, *always}))


class LocalScalars:
    """Local scalars of all synapses of B lifetimes, gathered for the events of a step.

    Args:
        names: Their names, as `shown_scalars` returns them: the columns of `SynapseEvents.extras`.
        network: The networks.
        plastic: The plastic projections, in the order that `SynapseEvents.projection` counts.
        layer: The constant of each of them, if `names` has "layer".
    """

    def __init__(
        self, names: Sequence[str], network: Network, plastic: Sequence[Projection], layer: Sequence[float] = ()
    ) -> None:
        self.names = tuple(names)
        self._network = network
        device = network.device
        self._layer = torch.tensor(list(layer), device=device)  # (projections,)
        targets = list(dict.fromkeys(p.target for p in plastic))
        sizes = {name: network.populations[name].size for name in targets}
        starts, end = {}, 0
        for name in targets:
            starts[name] = end
            end += network.num_networks * sizes[name]
        rows = [
            (network.offsets[p.name], network.populations[p.source].size * sizes[p.target], sizes[p.target],
             starts[p.target])
            for p in plastic
        ]  # fmt: skip
        columns = torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 4).T.contiguous()
        self._offset, self._synapses, self._width, self._start = columns  # (projections,) each
        self._blocks = {name: (starts[name], sizes[name]) for name in targets}
        self._own = [name for name in self.names if name != LAYER]
        self._values = {
            name: torch.zeros(end, device=device) for name in self._own
        }  # of every neuron, target by target
        self._reward = torch.zeros(network.num_networks, 1, device=device)

    @property
    def reward(self) -> Tensor:
        """Last reward of each lifetime minus the mean of its earlier ones, (B,)."""
        return self._reward.squeeze(1)

    @property
    def of_neurons(self) -> bool:
        """Whether any scalar is computed from a `NeuronView`."""
        return bool(self._own)

    def start_lifetime(self, row: int) -> None:
        """Reset the reward scalar of a new lifetime."""
        self._reward[row] = 0.0

    def pay(self, rows: Tensor, surprise: Tensor) -> None:
        """Store the reward of the lifetimes `rows` minus the mean of earlier ones, (R,) both."""
        self._reward.index_copy_(0, rows, surprise.unsqueeze(1))

    def update(self, rows: Tensor, activity: NetworkActivity, factors: Mapping[str, Tensor]) -> None:
        """Update the scalars after a time step of the lifetimes `rows` (R,).

        Args:
            rows: The lifetimes.
            activity: Their network activity.
            factors: Third factor of each population that has one, (B, N).
        """
        if not self.of_neurons:
            return
        all_networks = len(rows) == self._network.num_networks
        for name, (start, size) in self._blocks.items():
            potential = activity.potentials[name]  # (R, N)
            factor = factors.get(name)
            if factor is None:
                factor = torch.zeros_like(potential)
            elif not all_networks:
                factor = factor[rows]
            view = NeuronView(
                self._network.populations[name],
                potential,
                activity.thetas[name],
                activity.spikes[name],
                factor,
                self._reward if all_networks else self._reward[rows],
            )
            end = start + self._network.num_networks * size
            for scalar in self._own:
                values = self._values[scalar][start:end].view(-1, size)  # (B, N)
                fresh = self._made(scalar, view)
                if all_networks:
                    values.copy_(fresh)
                else:
                    values[rows] = fresh.expand(len(rows), size)

    def _made(self, name: str, view: NeuronView) -> Tensor:
        """Compute a scalar's values, (R, N) or (R, 1), and check their type and shape."""
        values = LOCAL_SCALARS[name](view)
        shape = tuple(view.potential.shape)
        if not isinstance(values, Tensor) or tuple(values.shape) not in (shape, (shape[0], 1)):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ConfigError(
                f"local scalar {name} of {view.population.name} must be a tensor of shape {shape} or {(shape[0], 1)}, "
                f"got {got}"
            )
        return values

    def __call__(self, events: SynapseEvents) -> SynapseEvents:
        """Return the events with their scalars in `extras`, (E, X)."""
        if not self.names:
            return events
        extras = events.weight.new_empty(len(events.synapse), len(self.names))
        for column, name in enumerate(self.names):
            if name == LAYER:
                extras[:, column] = self._layer.index_select(0, events.projection)
            else:
                self._look_up(events, self._values[name], extras[:, column])
        return events._replace(extras=extras, extra_names=self.names)

    def of_projection(self, index: int, target: str, name: str) -> Tensor:
        """Return a scalar of the neurons of plastic projection `index`, to `target`: (B, N), or (1, 1) if constant."""
        if name == LAYER:
            return self._layer[index].view(1, 1)
        start, size = self._blocks[target]
        return self._values[name][start : start + self._network.num_networks * size].view(-1, size)

    def _look_up(self, events: SynapseEvents, values: Tensor, found: Tensor) -> None:
        """Fill `found` (E,) with the value of each event's postsynaptic neuron."""
        columns = (self._offset, self._synapses, self._width, self._start)
        if values.device.type == "cpu":
            arrays = (events.synapse, events.projection, *columns, values, found)
            look_up_post(*(array.numpy() for array in arrays))
            return
        offset, synapses, width, start = (column.index_select(0, events.projection) for column in columns)
        place = events.synapse - offset  # (E,) (lifetime * n_pre + pre) * n_post + post
        lifetime = place.div(synapses, rounding_mode="floor")
        found.copy_(values.index_select(0, start + lifetime * width + place.remainder(width)))

    def state_dict(self) -> State:
        """Return the state carried between episodes: the last rewards."""
        return {"reward": self._reward}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        restore_all(self.state_dict(), state)
