"""B independent spiking networks of one architecture, advanced together.

Axes: B networks, R the networks of one call (all B, or some rows of them), N neurons, S spikes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.kernels.network import add_own, add_rows, lif_loop, scale_columns
from snn_plasticity_gym.networks.activity import NetworkActivity, SpikeList, SpikeLists
from snn_plasticity_gym.networks.groups import Draws, Moved
from snn_plasticity_gym.networks.groups import advance as advance_groups
from snn_plasticity_gym.networks.lif import LIFState, fire, integrate, lif_constants, lif_init
from snn_plasticity_gym.networks.populations import UNLIMITED, Population, Projection, pulse, weight_offsets
from snn_plasticity_gym.utils.state import State, restore_all


class Network:
    """B networks with separate weights.

    Populations are given in the order in which activity propagates within a step. All weights are in one flat tensor
    `weights`, projection after projection, each as (B, n_pre, n_post): any synapse of any network has one address.

    Args:
        populations: See above.
        projections: Between them.
        num_networks: B.
        dt: Time step in ms.
        device: Of the networks.
        dtype: Of weights and membranes.
        loops: Whether compiled loops or torch operations advance the networks, with equal results; None: loops on
            the CPU. They cannot access memory of a GPU.
    """

    def __init__(
        self,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        num_networks: int,
        dt: float,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        loops: bool | None = None,
    ) -> None:
        self._loops = device.type == "cpu" if loops is None else loops
        self.populations = {population.name: population for population in populations}
        self.projections = tuple(projections)
        self.num_networks = num_networks
        self.dt = dt
        self.device = device
        self.offsets, size = weight_offsets(populations, projections, num_networks)
        self.weights = torch.zeros(size, device=device, dtype=dtype)  # all synapses of all networks
        self.states: dict[str, LIFState] = {
            p.name: lif_init(num_networks, p.size, p.lif, device, dtype) for p in populations if p.lif is not None
        }
        self._everyone = torch.arange(num_networks, device=device)
        self.draws = Draws({p.name: p.size for p in populations}, num_networks, device)
        self.has_groups = any(p.groups is not None for p in populations)
        # (B,) networks without plasticity, with fixed adaptive thresholds; readable without GPU synchronisation.
        self.non_plastic = torch.zeros(num_networks, dtype=torch.bool)
        self.last_spikes = {  # (B, N) of the step before, for recurrent projections
            p.source: torch.zeros(num_networks, self._size(p.source), device=device, dtype=torch.bool)
            for p in self.projections
            if p.recurrent
        }

    def _size(self, population: str) -> int:
        return self.populations[population].size

    def weights_of(self, projection: str) -> Tensor:
        """Return the weights of an all-to-all projection, (B, n_pre, n_post), a view that may be written."""
        return self.part(self.weights, projection)

    def part(self, whole: Tensor, projection: str) -> Tensor:
        """Return the part of a projection in a tensor with one entry per weight, a view (B, n_pre, n_post)."""
        spec = next(p for p in self.projections if p.name == projection)
        n_pre, n_post = self._size(spec.source), self._size(spec.target)
        start = self.offsets[projection]
        return whole[start : start + self.num_networks * n_pre * n_post].view(self.num_networks, n_pre, n_post)

    def grow(self, row: int, rng: np.random.Generator) -> None:
        """Reinitialise network `row`: new weights, thresholds reset."""
        for projection in self.projections:
            if projection.one_to_one:
                continue
            weights = self.weights_of(projection.name)[row]  # (n_pre, n_post)
            if callable(projection.initial):
                weights.copy_(_initial_weights(projection, rng, tuple(weights.shape)))
                continue
            low, high = projection.initial
            uniform = torch.from_numpy(rng.random(weights.shape, dtype=np.float32))
            fresh = uniform**projection.initial_power * (high - low) + low
            if not projection.autapses:
                fresh.fill_diagonal_(0.0)
            weights.copy_(fresh)
        self.non_plastic[row] = False
        for state in self.states.values():
            state.theta[row] = 0.0

    def state_dict(self) -> State:
        """Return the state between episodes: weights, adaptive thresholds, plasticity flags."""
        thetas = {f"theta_{name}": state.theta for name, state in self.states.items()}
        return {"weights": self.weights, "non_plastic": self.non_plastic, **thetas}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        restore_all(self.state_dict(), state)

    def rest(self, rows: Tensor) -> None:
        """Reset the networks `rows` (R,): membranes at their resting potential, no pending spikes."""
        some = slice(None) if len(rows) == self.num_networks else rows  # a slice is faster than an index of all
        for name, state in self.states.items():
            lif = self.populations[name].lif
            assert lif is not None
            state.v[some] = lif.v_rest
            state.refractory[some] = 0.0
        for spikes in self.last_spikes.values():
            spikes[some] = False

    def deafen(self, rows: Tensor, deaf: Mapping[str, Tensor]) -> None:
        """Disable input and spikes of neurons of the networks `rows` until their reset, bool (R, N) each."""
        for name, neurons in deaf.items():
            refractory = self.states[name].refractory  # (B, N)
            refractory[rows] = refractory[rows].masked_fill(neurons, math.inf)

    def normalise(self, rows: Tensor) -> None:
        """Scale the weights of the networks `rows` (R,) to their projections' norms, where these have one."""
        for projection in self.projections:
            if projection.weight_norm > 0:
                weights = self.weights_of(projection.name)
                if self._loops:
                    low, high = (projection.plasticity or UNLIMITED)[2:]
                    order, wanted = float(projection.norm_order), projection.weight_norm
                    flat, shape = weights.view(-1).numpy(), tuple(weights.shape[1:])
                    scale_columns(flat, rows.numpy(), shape, order, wanted, low, high, np.empty(shape[1]))
                    continue
                some = len(rows) < self.num_networks
                scaled = weights[rows] if some else weights  # (R, n_pre, n_post)
                norm = torch.linalg.vector_norm(scaled, projection.norm_order, dim=1, keepdim=True)  # (R, 1, n_post)
                scaled *= projection.weight_norm / norm.clamp(min=1e-12)
                if projection.plasticity is not None:
                    scaled.clamp_(projection.plasticity.w_min, projection.plasticity.w_max)
                if some:
                    weights[rows] = scaled

    def advance(
        self,
        input_spikes: dict[str, Tensor],
        rows: Tensor | None = None,
        currents: Mapping[str, Tensor] | None = None,
        listed: bool = True,
    ) -> NetworkActivity:
        """Advance the networks `rows` (all of them if None) by one step.

        Args:
            input_spikes: Spikes of each input population, bool (R, N).
            rows: Indices of networks, int64 (R,), ascending; the others do not advance.
            currents: External current into some of the other populations, (R, N) each, in this step.
            listed: Whether to sum weights of spiking neurons only; otherwise of silent ones, too, times 0, all
                networks are advanced, and no spike lists are made, which need GPU synchronisation.

        Returns:
            Spikes of the R networks in the order of `rows`.
        """
        spikes: dict[str, Tensor] = {}
        lists = SpikeLists(spikes)
        potentials: dict[str, Tensor] = {}
        thetas: dict[str, Tensor] = {}
        for name, population in self.populations.items():
            if population.lif is None:
                spikes[name] = input_spikes[name]
            else:
                state = LIFState(*(_take(part, rows) for part in self.states[name]))
                if not listed:
                    current = self._whole_current(name, spikes, state.v)  # (B, N)
                elif self._loops:
                    current = self._looped_current(name, lists, rows, state.v)  # (R, N)
                else:
                    current = self._current(name, lists, rows, state.v)  # (R, N)
                if currents and name in currents:
                    current += currents[name]
                moved = self._moved(population, current, state, rows, self._loops and listed)
                spikes[name], potentials[name], thetas[name], after = moved
                if population.lif.theta_plus > 0:
                    after = after._replace(theta=self._held_thresholds(state.theta, after.theta, rows))
                self.states[name] = LIFState(
                    *(_put(whole, rows, part) for whole, part in zip(self.states[name], after, strict=True))
                )
        for name, last in self.last_spikes.items():
            self.last_spikes[name] = _put(last, rows, spikes[name].clone())
        if self.has_groups:
            self.draws.go_on(rows)
        return NetworkActivity(spikes, lists, potentials, thetas)

    def _held_thresholds(self, before: Tensor, after: Tensor, rows: Tensor | None) -> Tensor:
        """Return adaptive thresholds after a step, (R, N): constant in networks without plasticity."""
        still = self.non_plastic.numpy()
        if still.all():
            return before
        if not still.any():
            return after
        return torch.where(_take(self.non_plastic.to(self.device), rows).unsqueeze(1), before, after)

    def _moved(
        self, population: Population, current: Tensor, state: LIFState, rows: Tensor | None, loops: bool
    ) -> Moved:
        """Advance one population by its current, (R, N), in compiled loops or torch operations."""
        lif, dt = population.lif, self.dt
        assert lif is not None
        if population.groups is not None:
            groups, draws = population.groups, self.draws
            return advance_groups(population.name, groups, current, state, lif, dt, draws, rows, loops)
        if not loops:
            potential = integrate(current, state, lif, dt)
            spikes, after = fire(potential, state, lif, dt)
            return Moved(spikes, potential, state.theta, after)
        after = LIFState(*(part.clone() for part in state))
        potential, spikes = torch.empty_like(current), torch.empty_like(current, dtype=torch.bool)
        number, parts = current.numpy(), (part.numpy() for part in after)
        constants = lif_constants(lif, dt, number.dtype)
        lif_loop(number, *parts, constants, lif.one_spike, potential.numpy(), spikes.numpy())
        return Moved(spikes, potential, state.theta, after)

    def _looped_current(self, target: str, lists: SpikeLists, rows: Tensor | None, like: Tensor) -> Tensor:
        """`_current` in compiled loops."""
        current = torch.zeros_like(like)
        number, total = current.numpy(), np.empty(like.shape[1], current.numpy().dtype)
        networks = self._everyone if rows is None else rows  # (R,)
        for projection in self.projections:
            if projection.target != target:
                continue
            if projection.recurrent:
                fired = _take(self.last_spikes[projection.source], rows)
            else:
                fired = lists.spikes[projection.source].contiguous()
            gain = total.dtype.type(pulse(projection.gain, self.dt))
            if projection.one_to_one:
                add_own(fired.numpy(), gain, number)
            else:
                offset = self.offsets[projection.name]
                add_rows(fired.numpy(), networks.numpy(), self.weights.numpy(), offset, gain, total, number)
        return current

    def _current(self, target: str, lists: SpikeLists, rows: Tensor | None, like: Tensor) -> Tensor:
        """Sum the synaptic current into population `target` in this step, (R, N), shaped like `like`."""
        current = torch.zeros_like(like)
        for projection in self.projections:
            if projection.target != target:
                continue
            if projection.recurrent:
                spiking = SpikeList.of(_take(self.last_spikes[projection.source], rows))
            else:
                spiking = lists[projection.source]
            gain = pulse(projection.gain, self.dt)
            if projection.one_to_one:
                current[spiking.row, spiking.neuron] += gain
            else:
                current += gain * self._propagate(projection, spiking, rows)
        return current

    def _whole_current(self, target: str, spikes: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """`_current` of all networks, by products with all weights: (B, N)."""
        current = torch.zeros_like(like)
        for projection in self.projections:
            if projection.target != target:
                continue
            fired = self.last_spikes[projection.source] if projection.recurrent else spikes[projection.source]
            sent = fired.to(like.dtype)  # (B, n_pre)
            if not projection.one_to_one:
                sent = torch.bmm(sent.unsqueeze(1), self.weights_of(projection.name)).squeeze(1)  # (B, n_post)
            current += pulse(projection.gain, self.dt) * sent
        return current

    def _propagate(self, projection: Projection, spiking: SpikeList, rows: Tensor | None) -> Tensor:
        """Sum the weight rows of the spiking source neurons: (R, n_post)."""
        n_pre, n_post = self._size(projection.source), self._size(projection.target)
        network = spiking.row if rows is None else rows[spiking.row]  # (S,)
        table = self.weights_of(projection.name).view(-1, n_post)  # (B * n_pre, n_post)
        first = spiking.counts.cumsum(0) - spiking.counts  # (R,)
        return F.embedding_bag(network * n_pre + spiking.neuron, table, first, mode="sum")


def _initial_weights(projection: Projection, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """Draw initial weights, (n_pre, n_post), by the projection's function."""
    assert callable(projection.initial)
    fresh = np.asarray(projection.initial(rng, shape), dtype=np.float32)
    if fresh.shape != shape or not np.isfinite(fresh).all():
        raise ConfigError(
            f"the initial weights of projection {projection.name!r} must be finite numbers of shape {shape}, got shape "
            f"{fresh.shape}{'' if fresh.shape != shape else ' with NaN or infinity'}"
        )
    if not projection.autapses:
        np.fill_diagonal(fresh, 0.0)
    return torch.from_numpy(fresh)


def _take(whole: Tensor, rows: Tensor | None) -> Tensor:
    return whole if rows is None else whole[rows]


def _put(whole: Tensor, rows: Tensor | None, part: Tensor) -> Tensor:
    if rows is None:
        return part
    whole[rows] = part
    return whole
