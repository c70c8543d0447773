"""What is kept of the spikes and potentials of the episodes under way.

Axes: B lifetimes, R lifetimes of one call, W kept time steps, N neurons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.spike_counts import count_spikes, total_spikes
from snn_plasticity_gym.tasks.base import EpisodeRecord, Task


class Recorder:
    """Keeps the last W steps of every population, and counts spikes over the whole episode.

    Args:
        task: Says what is kept.
        network: Whose spikes they are.
    """

    def __init__(self, task: Task, network: Network) -> None:
        shape, device = (network.num_networks, task.record_steps), network.device
        self._readout = task.readout
        self._whole = task.record_steps >= task.num_steps  # the raster holds a whole episode, from which one counts
        sizes = [population.size for population in task.populations]
        self.whole = torch.zeros(*shape, sum(sizes), dtype=torch.bool, device=device)  # (B, W, all neurons)
        names = [population.name for population in task.populations]
        self.record = EpisodeRecord(
            network,
            raster=dict(zip(names, self.whole.split(sizes, dim=2), strict=True)),
            potentials={
                population.name: torch.zeros(*shape, population.size, device=device)
                for population in task.populations
                if population.lif is not None and task.needs_potentials
            },
        )
        self._counts = {  # int64 (B, N) spikes of the episode so far, where the raster does not tell
            population.name: torch.zeros(network.num_networks, population.size, dtype=torch.int64, device=device)
            for population in ([] if self._whole else task.populations)
        }

    def give(self, index: Tensor, spikes: Mapping[str, Tensor]) -> None:
        """Keep the input spikes of a whole episode, bool (R, T, N) each, in the lifetimes `index`, ascending."""
        for name, given in spikes.items():
            raster = self.record.raster[name]
            if len(index) == len(raster):
                raster.copy_(given)
            else:
                raster[index] = given

    def begin(self, rows: Sequence[int], index: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`, `index` as a tensor."""
        self.record.forget(rows)
        for counts in self._counts.values():
            counts[index] = 0

    def write(self, some: slice | Tensor, step: int | Tensor, activity: NetworkActivity, given: Sequence[str]) -> None:
        """Keep what happened in a step.

        Args:
            some: Lifetimes.
            step: Time step, common or each one's own (R,).
            activity: What happened in them.
            given: Populations whose spikes stand in the raster already.
        """
        for name, raster in self.record.raster.items():
            if name not in given:
                raster[some, step % raster.shape[1]] = activity.spikes[name]
        for name, potentials in self.record.potentials.items():
            potentials[some, step % potentials.shape[1]] = activity.potentials[name]
        for name, counts in self._counts.items():
            counts[some] += activity.spikes[name]

    def spikes(self, index: Tensor) -> dict[str, Tensor]:
        """Return the number of spikes of each population in the episode, int64 (R,) each."""
        if self.record.counted:
            return {name: self._of(counted.counts, index).sum(dim=1) for name, counted in self.record.counted.items()}
        if self._whole:
            return {name: total_spikes(self._of(raster, index)) for name, raster in self.record.raster.items()}
        return {name: counts[index].sum(dim=1) for name, counts in self._counts.items()}

    def rates(self, index: Tensor, steps: Tensor) -> Tensor:
        """Return the spikes per ms of the answering population, (R, N), over so many steps (R,)."""
        if self.record.counted:
            counts = self._of(self.record.counted[self._readout].counts, index)
        elif self._whole:
            counts = count_spikes(self._of(self.record.raster[self._readout], index)).counts
        else:
            counts = self._counts[self._readout][index]
        return counts / (steps * self.record.network.dt).unsqueeze(1)

    @staticmethod
    def _of(values: Tensor, index: Tensor) -> Tensor:
        """Return the values (B, ...) of some lifetimes, ascending; nothing is copied for all of them."""
        return values if len(index) == len(values) else values[index]
