"""Lists the synapse events of a step from the neurons that fired.

A *fan* is the set of synapses of one spike: all outgoing ones of a neuron (pre fan) or all incoming ones (post fan).
Events are the fans of a step, written out. Silent neurons share one history, so events are listed with the distinct
(pre history, post history) pairs among them: there are far fewer pairs than events.

Axes: R networks of the call, F fans, P pairs, E events, H distinct histories, W words of a history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.base import PHASES
from snn_plasticity_gym.kernels.events import EventLoops
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Projection
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, SynapseEvents


class EventFinder:
    """Finds the events of a step, without a scan of size (B, pre, post).

    Args:
        network: The networks.
        history_length: K.
        event_kinds: Kinds of events and their phases, see `PHASES`; split kinds have separate heads.
        loops: Whether compiled loops or torch operations list the events, with equal results; None: loops on the
            CPU. They cannot access memory of a GPU.
    """

    def __init__(
        self, network: Network, history_length: int, event_kinds: str = "merged", loops: bool | None = None
    ) -> None:
        self._network = network
        loops = network.device.type == "cpu" if loops is None else loops
        self._history_length = history_length
        self._plastic: list[Projection] = [p for p in network.projections if p.plasticity is not None]
        self._populations = list(dict.fromkeys(name for p in self._plastic for name in (p.source, p.target)))
        groups = torch.tensor(
            [p.plasticity.group for p in self._plastic if p.plasticity is not None], device=network.device
        )  # (projections,)
        phases = PHASES[event_kinds]
        heads = [len(phases) * groups + place for place in range(len(phases))]  # as in `head_names`
        self._phases = [_Phase(sides, own) for sides, own in zip(phases, heads, strict=True)]
        self._loops: EventLoops | None = None
        if loops:
            place, sizes = self._populations.index, [network.populations[name].size for name in self._populations]
            ends = [(place(p.source), place(p.target)) for p in self._plastic]
            rows = [
                (source, target, sizes[source], sizes[target], network.offsets[p.name], p.autapses)
                for p, (source, target) in zip(self._plastic, ends, strict=True)
            ]
            self._loops = EventLoops(sizes, np.array(rows, dtype=np.int64).reshape(-1, 6))

    @property
    def projections(self) -> Sequence[Projection]:
        """The plastic projections, in the order that `SynapseEvents.projection` counts."""
        return self._plastic

    @property
    def populations(self) -> Sequence[str]:
        """Names of the populations whose histories are needed."""
        return self._populations

    def __call__(self, activity: NetworkActivity, windows: dict[str, Tensor], networks: Tensor) -> SynapseEvents:
        """List the events of a step; where it has two phases, the second is the first one's `then`.

        Args:
            activity: Spikes of the R networks.
            windows: Bit windows of each population in `populations`, (R, N, W), this step included.
            networks: Indices of the R rows among the B networks, int64 (R,).
        """
        if self._loops is not None:
            return self._by_loops(self._loops, activity, windows, networks)
        neurons = _Neurons.of(activity, windows, self._populations)
        then = None
        for phase in reversed(self._phases):
            then = self._events(phase, then, activity, neurons, networks)
        assert then is not None  # the first phase by now
        return then

    def _by_loops(
        self, loops: EventLoops, activity: NetworkActivity, windows: dict[str, Tensor], networks: Tensor
    ) -> SynapseEvents:
        """List the events as `__call__`, in compiled loops."""
        rows = loops.tabulate(
            [windows[name].contiguous().numpy() for name in self._populations],
            [activity.spikes[name].contiguous().numpy() for name in self._populations],
        )
        histories, weights = torch.from_numpy(rows), self._network.weights
        then = None
        for phase in reversed(self._phases):
            listed = loops.list_events(phase.post_sides, phase.heads.numpy(), networks.numpy(), weights.numpy())
            columns: dict[str, Any] = {name: torch.from_numpy(column) for name, column in listed._asdict().items()}
            then = SynapseEvents(
                histories=histories,
                extras=weights.new_empty(len(listed.pair), 0),
                history_length=self._history_length,
                then=then,
                **columns,
            )
        assert then is not None  # the first phase by now
        return then

    def _events(
        self,
        phase: _Phase,
        then: SynapseEvents | None,
        activity: NetworkActivity,
        neurons: _Neurons,
        networks: Tensor,
    ) -> SynapseEvents:
        """List the events of one phase, followed by those of `then`."""
        fans = self._fans(phase, activity, neurons, networks)
        # An event is of both kinds only where both are presented together.
        fired = neurons.fired if len(phase.post_sides) == 2 else torch.zeros_like(neurons.fired)

        pair_fan, other = _write_out(1 + neurons.active[fans.other_block])  # (P,), (P,) 0: silent, else active neuron
        own_history = neurons.history[fans.own][pair_fan]  # (P,) the neuron that fired is never silent
        first_history = neurons.first_history[fans.other_block][pair_fan]  # (P,)
        other_history = torch.where(other == 0, 0, first_history + other - 1)  # (P,)
        pre_side = ~fans.post_side[pair_fan]
        pair_pre = torch.where(pre_side, own_history, other_history)
        pair_post = torch.where(pre_side, other_history, own_history)
        first_pair = _starts(1 + neurons.active[fans.other_block])  # (F,)

        fan, other = _write_out(fans.size)  # (E',), (E',) neuron at the far end
        far = fans.other_start.index_select(0, fan) + other  # (E',) place of that neuron in the tables of `neurons`
        far_fired = fired.index_select(0, far)
        # A synapse whose two neurons fired is listed in the pre fan; self-connections do not exist.
        twice = fans.post_side.index_select(0, fan) & far_fired
        keep = (~twice & (other != fans.forbidden.index_select(0, fan))).nonzero().squeeze(1)  # (E,)
        fan, other, far, far_fired = (column.index_select(0, keep) for column in (fan, other, far, far_fired))

        synapse = fans.address.index_select(0, fan) + other * fans.stride.index_select(0, fan)
        kind = torch.where(far_fired, KIND_BOTH, fans.post_side.index_select(0, fan).to(torch.uint8) * KIND_POST)
        projection = fans.projection.index_select(0, fan)
        return SynapseEvents(
            histories=neurons.histories,
            pair_pre=pair_pre,
            pair_post=pair_post,
            pair=first_pair.index_select(0, fan) + neurons.rank.index_select(0, far),
            synapse=synapse,
            weight=self._network.weights.index_select(0, synapse),
            projection=projection,
            group=phase.heads.index_select(0, projection),
            kind=kind,
            extras=self._network.weights.new_empty(len(synapse), 0),
            lengths=torch.bincount(fans.row.index_select(0, fan), minlength=len(networks)),
            history_length=self._history_length,
            then=then,
        )

    def _fans(self, phase: _Phase, activity: NetworkActivity, neurons: _Neurons, networks: Tensor) -> _Fans:
        """List the fans of all spikes, ordered by network, projection, side, neuron."""
        parts = []
        for index, projection in enumerate(self._plastic):
            n_pre = self._network.populations[projection.source].size
            n_post = self._network.populations[projection.target].size
            base = self._network.offsets[projection.name]
            for post_side in phase.post_sides:
                own, other = projection.source, projection.target
                if post_side:
                    own, other = other, own
                spikes = activity.lists[own]
                first = base + networks[spikes.row] * (n_pre * n_post)  # (S,) address of the network's first weight
                other_block = spikes.row + neurons.block[other]
                parts.append(
                    _Fans(
                        row=spikes.row,
                        projection=torch.full_like(spikes.row, index),
                        post_side=torch.full_like(spikes.row, post_side, dtype=torch.bool),
                        size=torch.full_like(spikes.row, n_pre if post_side else n_post),
                        address=first + (spikes.neuron if post_side else spikes.neuron * n_post),
                        stride=torch.full_like(spikes.row, n_post if post_side else 1),
                        forbidden=torch.full_like(spikes.row, -1) if projection.autapses else spikes.neuron,
                        own=neurons.start[own] + spikes.row * neurons.size[own] + spikes.neuron,
                        other_start=neurons.start[other] + spikes.row * neurons.size[other],
                        other_block=other_block,
                    )
                )
        order = torch.argsort(torch.cat([part.row for part in parts]), stable=True)  # (F,)
        return _Fans(*(torch.cat(columns)[order] for columns in zip(*parts, strict=True)))


class _Phase(NamedTuple):
    """Part of a time step: its fans, and the policy heads of their events."""

    post_sides: tuple[bool, ...]  # False: pre fans; True: post fans
    heads: Tensor  # (projections,) int64, policy head of each projection's events


class _Fans(NamedTuple):
    """Fans of the spikes of a step; one entry per spike, projection and side, each (F,)."""

    row: Tensor  # index of the network in R
    projection: Tensor
    post_side: Tensor  # bool: incoming synapses of a post neuron, not outgoing ones of a pre neuron
    size: Tensor  # synapses in the fan
    address: Tensor  # of the synapse to far neuron 0 in `Network.weights`
    stride: Tensor  # from one far neuron's synapse to the next
    forbidden: Tensor  # far neuron to which there is no synapse, or -1
    own: Tensor  # place of the neuron that fired in the tables of `_Neurons`
    other_start: Tensor  # place of far neuron 0 in the tables of `_Neurons`
    other_block: Tensor  # place of (far population, network) in the block tables of `_Neurons`


class _Neurons(NamedTuple):
    """Tables over all neurons of the call, population after population, each as (R, N) flattened.

    A block is one population of one network.
    """

    start: dict[str, int]  # place of a population's first neuron
    size: dict[str, int]  # its number of neurons
    block: dict[str, int]  # place of a population's first block
    fired: Tensor  # (neurons,) bool, in this step
    rank: Tensor  # (neurons,) 0 for a silent neuron, else 1, 2, ... among the active ones of its block
    history: Tensor  # (neurons,) row of `histories`
    active: Tensor  # (blocks,) number of active neurons
    first_history: Tensor  # (blocks,) row of `histories` of the first active neuron
    histories: Tensor  # (H, W)

    @classmethod
    def of(cls, activity: NetworkActivity, windows: dict[str, Tensor], populations: Sequence[str]) -> _Neurons:
        start, size, block = {}, {}, {}
        ranks, actives, rows = [], [], []
        neurons = blocks = 0
        for name in populations:
            window = windows[name]  # (R, N, W)
            start[name], size[name], block[name] = neurons, window.shape[1], blocks
            neurons += window.shape[0] * window.shape[1]
            blocks += window.shape[0]
            active = (window != 0).any(dim=2)  # (R, N)
            ranks.append((active.cumsum(dim=1) * active).flatten())
            actives.append(active.sum(dim=1))
            rows.append(window[active])
        rank = torch.cat(ranks)  # (neurons,)
        active_count = torch.cat(actives)  # (blocks,)
        silent = rows[0].new_zeros(1, rows[0].shape[1])
        return cls(
            start=start,
            size=size,
            block=block,
            fired=torch.cat([activity.spikes[name].flatten() for name in populations]),
            rank=rank,
            # Active neurons are listed in `histories` in table order, after the silent row.
            history=torch.where(rank > 0, (rank > 0).cumsum(0), 0),
            active=active_count,
            first_history=1 + active_count.cumsum(0) - active_count,
            histories=torch.cat([silent, *rows]),
        )


def _starts(sizes: Tensor) -> Tensor:
    """Return the start of each run for consecutive runs of the given sizes: (F,) -> (F,)."""
    return sizes.cumsum(0) - sizes


def _write_out(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Write out runs of the given sizes: for each element the run it belongs to, and its place within the run."""
    run = torch.repeat_interleave(sizes)  # (sum,)
    place = torch.arange(len(run), device=sizes.device) - _starts(sizes)[run]
    return run, place
