"""Base class of learners with validation: the best parameters, and means since the last row."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from snn_plasticity_gym.utils.state import State, restore_all


class ValidatedLearner(ABC):
    """Learns in steps, keeps the parameters with the best validation score; its state can be saved between two steps.

    Args:
        total: Episodes in all.
        parameters: Trained parameters, by name; changed in place.
        optimiser: Of these parameters.
    """

    def __init__(self, total: int, parameters: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
        self.total = total
        self.episodes = 0  # learned from so far
        self._parameters, self._optimiser = parameters, optimiser
        self._best, self._best_value, self._best_at = self._copy(), -math.inf, 0
        self._since: dict[str, float] = {}  # sums since the last row, by name

    @abstractmethod
    def steps(self) -> Iterator[None]:
        """Yield after each remaining update; may be called once."""

    def note(self, value: float) -> None:
        """Keep the parameters if their validation score is the best so far; the latest of equal ones."""
        if value >= self._best_value:
            self._best, self._best_value, self._best_at = self._copy(), value, self.episodes

    def take_best(self) -> tuple[float, int]:
        """Restore the best parameters; return their validation score and their number of episodes."""
        self._restore(self._best)
        return self._best_value, self._best_at

    def take_means(self) -> dict[str, float]:
        """Return means per episode since the last call."""
        sums, self._since = self._since, {}
        seen = sums.pop("seen", 0.0)
        return {name: value / seen for name, value in sums.items()} if seen else {}

    def state_dict(self) -> State:
        """Return the complete state between two steps."""
        return {
            "weights": self._copy(),
            "optimiser": self._optimiser.state_dict(),
            "episodes": self.episodes,
            "best": (self._best, self._best_value, self._best_at),
            "since": dict(self._since),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`, of a learner with the same arguments, before the first step."""
        self._restore(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.episodes = state["episodes"]
        self._best, self._best_value, self._best_at = state["best"]
        self._since = dict(state["since"])

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def _restore(self, saved: Mapping[str, Tensor]) -> None:
        restore_all(self._parameters, saved)

    def _count(self, episodes: int, **sums: float) -> None:
        """Add sums over so many episodes to those since the last row."""
        for name, value in {"seen": float(episodes), **sums}.items():
            self._since[name] = self._since.get(name, 0.0) + value

    def _set_rate(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
