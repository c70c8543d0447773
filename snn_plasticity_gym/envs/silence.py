"""A population without spikes has no plasticity: a warning names it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from snn_plasticity_gym.tasks.base import Task

EPISODES = 10  # of all lifetimes together, after which silence is reported

_logger = logging.getLogger("snn_plasticity_gym")


class SilenceWatch:
    """Counts the spikes of an environment's first episodes, and warns once if a population had none.

    Populations without input, since the gains of all projections into them are 0, are silent by intent. The counts are
    not part of an environment's state: they affect no result, and restart with a resumed run.

    Args:
        task: Its populations, and the remedy for a silent one.
    """

    def __init__(self, task: Task) -> None:
        gains: dict[str, list[float]] = {}
        for projection in task.projections:
            gains.setdefault(projection.target, []).append(projection.gain)
        names = [population.name for population in task.populations]
        self._spikes = {name: 0 for name in names if any(gains.get(name, [1.0]))}  # of the episodes counted
        self._task = task
        self._episodes = 0

    def see(self, spikes: Mapping[str, Tensor]) -> None:
        """Count the spikes of each population in the ended episodes of R lifetimes, int64 (R,) each."""
        if self._episodes >= EPISODES:
            return
        ended = 0
        for name in self._spikes:
            self._spikes[name] += int(spikes[name].sum())
            ended = len(spikes[name])
        self._episodes += ended
        if self._episodes < EPISODES:
            return
        silent = [name for name, count in self._spikes.items() if not count]
        if silent:
            _logger.warning(
                "no neuron of %s has fired in the first %d episodes, so its synapses have nothing to learn from; %s",
                " and ".join(silent),
                self._episodes,
                self._task.remedy(silent[0]),  # populations after it may be silent because of it
            )
