"""Where each lifetime stands: the seed that it grew from, how many did before it, how many episodes it has lived.

Axes: B lifetimes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_plasticity_gym.tasks.base import Seed
from snn_plasticity_gym.utils.state import State


class Lifetimes:
    """Counts the episodes of B lifetimes, and says from which seed each of them draws.

    Args:
        num_lifetimes: B.
        common_network: Whether all networks grow from the same seed.
        common_noise: Whether all lifetimes are shown the same.
    """

    def __init__(self, num_lifetimes: int, common_network: bool, common_noise: bool) -> None:
        self._common_network, self._common_noise = common_network, common_noise
        self.ages = np.zeros(num_lifetimes, dtype=np.int64)  # episodes that each has gone through
        self.attempts = np.zeros(num_lifetimes, dtype=np.int64)  # how often the next episode was begun so far
        self.common_seed: int | None = None  # of what lifetimes share; None: that of the first lifetime
        self._seeds = [0] * num_lifetimes
        self._generations = np.zeros(num_lifetimes, dtype=np.int64)  # lifetimes that grew from the seed before

    def seed(self, row: int) -> Seed:
        """Return what the present episode of lifetime `row` draws from."""
        common = self._seeds[0] if self.common_seed is None else self.common_seed
        own = common if self._common_network else self._seeds[row]
        shown = common if self._common_noise else self._seeds[row]
        begun_before = max(int(self.attempts[row]) - 1, 0)
        return Seed(own, shown, int(self._generations[row]), int(self.ages[row]), begun_before)

    def start(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begin lifetimes, each from its seed; None: the next lifetime that the present seed leads to."""
        for row, seed in zip(rows, seeds, strict=True):
            if seed is None:
                self._generations[row] += 1
            else:
                self._seeds[row], self._generations[row] = seed, 0
            self.ages[row] = self.attempts[row] = 0

    def begin(self, rows: slice | Sequence[int]) -> None:
        """Note that an episode begins."""
        self.attempts[rows] += 1

    def finish(self, rows: slice | Sequence[int]) -> None:
        """Note that an episode was lived to its end."""
        self.ages[rows] += 1
        self.attempts[rows] = 0

    def state_dict(self) -> State:
        """Return where all stand."""
        return {
            "seeds": list(self._seeds),
            "generations": self._generations.tolist(),
            "ages": self.ages.tolist(),
            "attempts": self.attempts.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._seeds = list(state["seeds"])
        self._generations[:] = state["generations"]
        self.ages[:] = state["ages"]
        self.attempts[:] = state["attempts"]
