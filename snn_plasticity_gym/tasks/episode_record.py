"""What a network has done in the episodes that run, for tasks to read.

Axes: B lifetimes, R lifetimes of one call, W recorded time steps, N neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.plasticity.event_log import WrittenEvents


@dataclass
class EpisodeRecord:
    """Record of the present episodes, read-only for tasks."""

    network: Network
    raster: dict[str, Tensor]  # bool (B, W, N), spikes of every population; step t is at t modulo W
    potentials: dict[str, Tensor]  # (B, W, N) before the reset, if the task `needs_potentials`
    counted: dict[str, SpikeCounts] = field(default_factory=dict)  # (B, N) of episodes run at once
    written: list[WrittenEvents] = field(default_factory=list)  # changes in order, if the task `rewards_events`

    def spikes_at(self, population: str, rows: Tensor, step: int | Tensor) -> Tensor:
        """Return the spikes of a step, bool (R, N); arguments as in `Task.input`."""
        raster = self.raster[population]
        place = step % raster.shape[1]
        if len(rows) == len(raster) and isinstance(place, int):
            return raster[:, place]
        return raster[rows, place]

    def of(self, rows: Sequence[int]) -> list[WrittenEvents]:
        """Return the changes in the lifetimes `rows`, in order; those of all lifetimes at once if stored so."""
        together = [entry for entry in self.written if entry.row is None]
        return together or [entry for row in rows for entry in self.written if entry.row == row]

    def forget(self, rows: Sequence[int]) -> None:
        """Drop the changes in the lifetimes `rows`; of all of them, everything."""
        self.counted = {}
        all_networks = len(rows) == self.network.num_networks
        self.written = [] if all_networks else [entry for entry in self.written if entry.row not in rows]
