"""Record of spikes and potentials of the present episodes.

Axes: B lifetimes, R lifetimes of one call, W recorded time steps, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.spike_counts import SpikeCounts, count_spikes, rates_of, total_spikes
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.episode_record import EpisodeRecord


class Recorder:
    """Records the last W steps of every population, and counts spikes over the whole episode.

    Args:
        task: Determines what is recorded.
        network: Of the populations.
    """

    def __init__(self, task: Task, network: Network) -> None:
        shape, device = (network.num_networks, task.record_steps), network.device
        self._readout = task.readout
        self._whole = task.record_steps >= task.num_steps  # the raster holds a whole episode: spikes are counted there
        self._sizes = {population.name: population.size for population in task.populations}
        size = sum(self._sizes.values())
        self.whole = torch.zeros(*shape, size, dtype=torch.bool, device=device)  # (B, W, all neurons)
        self.record = EpisodeRecord(
            network,
            raster=self._by_population(self.whole),
            potentials={
                population.name: torch.zeros(*shape, population.size, device=device)
                for population in task.populations
                if population.lif is not None and task.needs_potentials
            },
        )
        # Of an episode run at once: (B, all neurons), see `SpikeCounts`, and (P, B) of each population.
        self.counts, self.first = torch.zeros(2, shape[0], size, dtype=torch.int64, device=device)
        self.totals = torch.zeros(len(self._sizes), shape[0], dtype=torch.int64, device=device)
        self._counted = self._counts_by_population()
        self._counts = {  # int64 (B, N) spikes of the episode so far, where the raster is shorter
            population.name: torch.zeros(network.num_networks, population.size, dtype=torch.int64, device=device)
            for population in ([] if self._whole else task.populations)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore records by population as views of the whole, which a pickle stores separately."""
        vars(self).update(state)
        self.record.raster = self._by_population(self.whole)
        self._counted = self._counts_by_population()
        if self.record.counted:
            self.take_counts()

    def _by_population(self, values: Tensor) -> dict[str, Tensor]:
        """Return the part of each population of values (..., all neurons)."""
        return dict(zip(self._sizes, values.split(list(self._sizes.values()), dim=-1), strict=True))

    def _counts_by_population(self) -> dict[str, SpikeCounts]:
        first = self._by_population(self.first)
        return {name: SpikeCounts(counts, first[name]) for name, counts in self._by_population(self.counts).items()}

    def set_inputs(self, index: Tensor, spikes: Mapping[str, Tensor]) -> None:
        """Record the input spikes of a whole episode, bool (R, T, N) each, in the lifetimes `index`, ascending."""
        for name, input_spikes in spikes.items():
            raster = self.record.raster[name]
            if len(index) == len(raster):
                raster.copy_(input_spikes)
            else:
                raster[index] = input_spikes

    def begin(self, rows: Sequence[int], index: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`, `index` as a tensor."""
        self.record.forget(rows)
        for counts in self._counts.values():
            counts[index] = 0

    def write(
        self, some: slice | Tensor, step: int | Tensor, activity: NetworkActivity, recorded: Sequence[str]
    ) -> None:
        """Record a step.

        Args:
            some: Lifetimes.
            step: Time step, common or by lifetime (R,).
            activity: Their spikes and potentials.
            recorded: Populations whose spikes are already in the raster.
        """
        for name, raster in self.record.raster.items():
            if name not in recorded:
                raster[some, step % raster.shape[1]] = activity.spikes[name]
        for name, potentials in self.record.potentials.items():
            potentials[some, step % potentials.shape[1]] = activity.potentials[name]
        for name, counts in self._counts.items():
            counts[some] += activity.spikes[name]

    def take_counts(self) -> None:
        """Use `counts`, `first` and `totals`, the spikes of an episode run at once."""
        self.record.counted = self._counted

    def spikes(self, index: Tensor) -> dict[str, Tensor]:
        """Return the number of spikes of each population in the episode, int64 (R,) each."""
        if self.record.counted:
            return dict(zip(self._sizes, self.totals.index_select(1, index).unbind(), strict=True))
        if self._whole:
            return {name: total_spikes(self._of(raster, index)) for name, raster in self.record.raster.items()}
        return {name: counts[index].sum(dim=1) for name, counts in self._counts.items()}

    def rates(self, index: Tensor, steps: Tensor) -> Tensor:
        """Return the spikes per ms of the readout population, (R, N), over so many steps (R,)."""
        if self.record.counted:
            return rates_of(self._of(self._counted[self._readout].counts, index), steps, self.record.network.dt)
        if self._whole:
            counts = count_spikes(self._of(self.record.raster[self._readout], index)).counts
        else:
            counts = self._counts[self._readout][index]
        return counts / (steps * self.record.network.dt).unsqueeze(1)

    @staticmethod
    def _of(values: Tensor, index: Tensor) -> Tensor:
        """Return the values (B, ...) of some lifetimes, ascending; without a copy for all of them."""
        return values if len(index) == len(values) else values[index]
