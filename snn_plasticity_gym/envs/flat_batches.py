"""The flat interface of an environment: an alternative to Gymnasium's fixed slots."""

from __future__ import annotations

from torch import Tensor

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.event_interface import EventInterface
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.utils.state import State


class FlatBatches:
    """Batches of events of any size, without padding, for an environment with an `EventInterface`."""

    _interface: EventInterface
    _started: bool  # whether there are networks

    def begin(self) -> None:
        """Begin the next episode of every lifetime as `reset` does, but without observations, which take a time step.

        A running episode is discarded. So `run_episode` can simulate the whole episode at once.
        """
        self._interface.begin()

    def events(self) -> SynapseEvents | None:
        """Return the pending events of all lifetimes, or None when all episodes are over."""
        return self._interface.events()

    def apply(self, delta_d: Tensor) -> None:
        """Apply one normalised weight change for each of `events()`, (E,), and advance to the next ones."""
        self._interface.apply(delta_d)

    def finish(self) -> EpisodeResult:
        """Return the results of the episodes, and begin the next one of every lifetime."""
        return self._interface.finish()

    def lives_whole(self, rule: Rule) -> bool:
        """Whether `run_episode` simulates the present episode of all lifetimes at once, by a rule in compiled loops."""
        return self._interface.lives_whole(rule)

    def run_episode(self, rule: Rule) -> EpisodeResult:
        """Apply a rule to all events of the episode, and return `finish`."""
        return self._interface.run_episode(rule)

    def run_episodes(self, rule: Rule, count: int) -> list[EpisodeResult]:
        """Return what so many calls of `run_episode` do, with several images in one call of the loops where possible.

        Lifetimes are in the state after the last of them: whoever looks at networks in between asks for fewer.
        """
        return self._interface.run_episodes(rule, count)

    def run_some(self, rule: Rule, most: int) -> list[EpisodeResult]:
        """Return what one call of `run_episode` does, or several, at most so many: as one call of loops can."""
        return self._interface.run_some(rule, most)

    def state_dict(self) -> State:
        """Return the full state, between two episodes.

        Raises:
            RuntimeError: An episode is under way.
        """
        return self._interface.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load a state of `state_dict`, of an environment with the same settings.

        Raises:
            ValueError: The settings differ.
        """
        self._interface.load_state_dict(state)
        self._started = True
