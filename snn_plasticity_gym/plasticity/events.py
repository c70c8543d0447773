"""Synapse events: one flat batch per time step, whatever the number of networks and projections.

A synapse has an event when its pre or its post neuron fires; `event_finder` lists them. A policy observes a synapse by
the histories of its two neurons, so a batch has a table of distinct histories, a table of the pairs of histories that
occur, and for each event the index of its pair.

Events of a step are presented together, or in two *phases*, those of pre spikes first and then those of post spikes: a
synapse whose two neurons fired then has an event in both, the second with the weight after the first. Or only those
of one side are presented, for plasticity at spikes of that neuron alone.

Axes: R networks of the call, P pairs, E events, H distinct histories, W words of a history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.spike_history import unpack

NUM_KINDS = 3
KIND_PRE, KIND_POST, KIND_BOTH = range(NUM_KINDS)


def head_names(groups: Sequence[str], split_kinds: bool) -> list[str]:
    """Return the names of the policy heads, in the order that `SynapseEvents.group` counts.

    With `split_kinds` each group has two heads, e.g. exc_pre, exc_post, inh_pre, inh_post.
    """
    return [f"{group}_{kind}" for group in groups for kind in ("pre", "post")] if split_kinds else list(groups)


class LocalState(NamedTuple):
    """Input of a rule: the local state of E synapses."""

    histories: Tensor  # (H, W) int64 bit windows (see spike_history.py)
    history_length: int  # K
    pair_pre: Tensor  # (P,) int64, row of `histories`
    pair_post: Tensor  # (P,) int64, row of `histories`
    pair: Tensor  # (E,) int64, index of the pair of the synapse's neurons
    weight: Tensor  # (E,)
    group: Tensor  # (E,) int64, policy head
    kind: Tensor  # (E,) uint8: KIND_PRE, KIND_POST or KIND_BOTH
    extras: Tensor  # (E, X) further local scalars, e.g. the third factor; X may be 0
    extra_names: tuple[str, ...] = ()  # of the X columns

    def scalar(self, name: str) -> Tensor:
        """Return a local scalar of each event, (E,); see `scalar_of`."""
        return scalar_of(self, name)

    def take(self, part: slice | Tensor) -> LocalState:
        """Return a subset of the events; the tables of pairs and histories stay whole."""
        return self._replace(
            pair=self.pair[part],
            weight=self.weight[part],
            group=self.group[part],
            kind=self.kind[part],
            extras=self.extras[part],
        )


class SynapseEvents(NamedTuple):
    """Events of one time step that are presented together, by network, projection, pre before post fans, neuron."""

    histories: Tensor  # (H, W) int64 bit windows (see spike_history.py); row 0 is silent
    pair_pre: Tensor  # (P,) int64, row of `histories`
    pair_post: Tensor  # (P,) int64, row of `histories`
    pair: Tensor  # (E,) int64, index of the pair of the synapse's neurons
    synapse: Tensor  # (E,) int64, address in `Network.weights`
    weight: Tensor  # (E,) before this event
    projection: Tensor  # (E,) int64, projection, hence learning rate and clips
    group: Tensor  # (E,) int64, policy head
    kind: Tensor  # (E,) uint8: KIND_PRE, KIND_POST or KIND_BOTH
    extras: Tensor  # (E, X) further local scalars, e.g. the third factor; X may be 0
    lengths: Tensor  # (R,) int64, events of each network; sums to E
    history_length: int  # K
    then: SynapseEvents | None = None  # next phase of the time step, without weights; get it by `Engine.after`
    extra_names: tuple[str, ...] = ()  # of the X columns

    def scalar(self, name: str) -> Tensor:
        """Return a local scalar of each event, (E,); see `scalar_of`."""
        return scalar_of(self, name)

    def phases(self) -> Iterator[SynapseEvents]:
        """Yield these events and those that follow in the same time step."""
        phase: SynapseEvents | None = self
        while phase is not None:
            yield phase
            phase = phase.then

    def history(self) -> Tensor:
        """Return the spike histories of each event: (E, 2, K) uint8, pre row and post row, oldest step first."""
        rows = torch.stack([self.pair_pre[self.pair], self.pair_post[self.pair]], dim=1)  # (E, 2)
        used_rows, place = rows.unique(return_inverse=True)  # the table may hold those of other networks, too
        return unpack(self.histories[used_rows], self.history_length)[place]

    def local_state(self) -> LocalState:
        """Return the part of the events that is a rule's input."""
        return LocalState(*(getattr(self, name) for name in LocalState._fields))

    def split(self) -> Iterator[SynapseEvents]:
        """Yield the events of each network separately; the tables of pairs and histories stay shared."""
        start = 0
        later = [None] * len(self.lengths) if self.then is None else self.then.split()
        for row, (length, then) in enumerate(zip(self.lengths.tolist(), later, strict=True)):
            yield self.narrow(start, length, self.lengths[row : row + 1])._replace(then=then)
            start += length

    def narrow(self, start: int, length: int, lengths: Tensor) -> SynapseEvents:
        """Return `length` events from `start` on, whose networks have the given `lengths`."""
        return self.take(slice(start, start + length), lengths)

    def take(self, part: slice | Tensor, lengths: Tensor) -> SynapseEvents:
        """Return some events, whose networks have the given `lengths`; the tables of pairs and histories stay whole."""
        return self._replace(
            pair=self.pair[part],
            synapse=self.synapse[part],
            weight=self.weight[part],
            projection=self.projection[part],
            group=self.group[part],
            kind=self.kind[part],
            extras=self.extras[part],
            lengths=lengths,
        )


def scalar_of(events: LocalState | SynapseEvents, name: str) -> Tensor:
    """Return a local scalar of each event, (E,).

    Raises:
        ConfigError: The events do not have it.
    """
    if name not in events.extra_names:
        shown = " and ".join(events.extra_names) or "none"
        raise ConfigError(
            f"the rule needs the local scalar {name}, its events show {shown}; add it to local_state, or, for a "
            "factor, set third_factor"
        )
    return events.extras[:, events.extra_names.index(name)]


def per_event(values: Tensor, lengths: Tensor) -> Tensor:
    """Repeat one value per network for each of its events: (R, ...) -> (E, ...)."""
    return values.repeat_interleave(lengths, dim=0)
