"""State of each lifetime: its seed, the number of earlier lifetimes of that seed, and its number of episodes.

Axes: B lifetimes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snn_plasticity_gym.tasks.base import Seed
from snn_plasticity_gym.utils.state import State


class Lifetimes:
    """Counts the episodes of B lifetimes, and derives their seeds.

    Args:
        num_lifetimes: B.
        common_network: Whether all networks have the same initial weights.
        common_noise: Whether all lifetimes have the same stimuli.
    """

    def __init__(self, num_lifetimes: int, common_network: bool, common_noise: bool) -> None:
        self._common_network, self._common_noise = common_network, common_noise
        self.ages = np.zeros(num_lifetimes, dtype=np.int64)  # completed episodes
        self.attempts = np.zeros(num_lifetimes, dtype=np.int64)  # number of starts of the next episode
        self.common_seed: int | None = None  # of shared randomness; None: that of the first lifetime
        self._seeds = [0] * num_lifetimes
        self._generations = np.zeros(num_lifetimes, dtype=np.int64)  # earlier lifetimes of the seed

    def seed(self, row: int) -> Seed:
        """Return the seed of the present episode of lifetime `row`."""
        common = self._seeds[0] if self.common_seed is None else self.common_seed
        own = common if self._common_network else self._seeds[row]
        shown = common if self._common_noise else self._seeds[row]
        begun_before = max(int(self.attempts[row]) - 1, 0)
        return Seed(own, shown, int(self._generations[row]), int(self.ages[row]), begun_before)

    def start(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begin lifetimes, each from its seed; None: the next lifetime of the present seed."""
        for row, seed in zip(rows, seeds, strict=True):
            if seed is None:
                self._generations[row] += 1
            else:
                self._seeds[row], self._generations[row] = seed, 0
            self.ages[row] = self.attempts[row] = 0

    def begin(self, rows: slice | Sequence[int]) -> None:
        """Count the start of an episode."""
        self.attempts[rows] += 1

    def finish(self, rows: slice | Sequence[int], episodes: int = 1) -> None:
        """Count a completed episode, or several."""
        self.ages[rows] += episodes
        self.attempts[rows] = 0

    def state_dict(self) -> State:
        """Return the state of all lifetimes."""
        return {
            "seeds": list(self._seeds),
            "generations": self._generations.tolist(),
            "ages": self.ages.tolist(),
            "attempts": self.attempts.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        """Load a state of `state_dict`."""
        self._seeds = list(state["seeds"])
        self._generations[:] = state["generations"]
        self.ages[:] = state["ages"]
        self.attempts[:] = state["attempts"]
