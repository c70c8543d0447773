"""Spikes of a time step, as masks and as lists.

Axes: R networks of a call, N neurons, S spikes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor


class SpikeList(NamedTuple):
    """The neurons of a population that fired in a step, ordered by network, then neuron."""

    row: Tensor  # (S,) int64, index among the R simulated networks
    neuron: Tensor  # (S,) int64
    counts: Tensor  # (R,) int64, sums to S

    @classmethod
    def of(cls, spikes: Tensor) -> SpikeList:
        """List the spikes of a bool tensor (R, N)."""
        row, neuron = spikes.nonzero(as_tuple=True)
        return cls(row, neuron, spikes.sum(dim=1))


class SpikeLists(Mapping[str, SpikeList]):
    """Lazy spike lists by population.

    Args:
        spikes: By population, bool (R, N).
    """

    def __init__(self, spikes: dict[str, Tensor]) -> None:
        self.spikes = spikes
        self._made: dict[str, SpikeList] = {}

    def __getitem__(self, name: str) -> SpikeList:
        if name not in self._made:
            self._made[name] = SpikeList.of(self.spikes[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.spikes)

    def __len__(self) -> int:
        return len(self.spikes)


class NetworkActivity(NamedTuple):
    """Spikes and potentials of one step, by population."""

    spikes: dict[str, Tensor]  # bool (R, N)
    lists: Mapping[str, SpikeList]
    potentials: dict[str, Tensor]  # (R, N) mV before the reset; computed populations only
    thetas: Mapping[str, Tensor] = MappingProxyType({})  # (R, N) mV, adaptive part of the threshold


def silenced(activity: NetworkActivity, networks: Tensor) -> NetworkActivity:
    """Remove the spikes of some networks, bool (R,)."""
    active = ~networks.unsqueeze(1)  # (R, 1)
    spikes = {name: fired & active for name, fired in activity.spikes.items()}  # (R, N) each
    return activity._replace(spikes=spikes, lists={name: SpikeList.of(fired) for name, fired in spikes.items()})
