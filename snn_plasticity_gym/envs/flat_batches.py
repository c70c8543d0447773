"""The flat interface of an environment: what it offers beside Gymnasium's fixed slots."""

from __future__ import annotations

from torch import Tensor

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.event_interface import EventInterface
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.utils.state import State


class FlatBatches:
    """Batches of events of any size, without padding, for an environment that has its `EventInterface`."""

    _interface: EventInterface
    _started: bool  # whether there are networks

    def begin(self) -> None:
        """Begin the next episode of every lifetime as `reset` does, but without observations, which take a time step.

        An episode under way is dropped. So `run_episode` can let lifetimes live through it as a whole.
        """
        self._interface.begin()

    def events(self) -> SynapseEvents | None:
        """Return the events of all lifetimes that wait for an answer, or None when all episodes are over."""
        return self._interface.events()

    def apply(self, delta_d: Tensor) -> None:
        """Answer `events()` with one normalised weight change each, (E,), and go on to the next ones."""
        self._interface.apply(delta_d)

    def finish(self) -> EpisodeResult:
        """Return how the episodes went, and begin the next one of every lifetime."""
        return self._interface.finish()

    def lives_whole(self, rule: Rule) -> bool:
        """Whether `run_episode` lets all lifetimes live by a rule through the present episode in compiled loops."""
        return self._interface.lives_whole(rule)

    def run_episode(self, rule: Rule) -> EpisodeResult:
        """Return `finish` after a rule has answered all events of the episode."""
        return self._interface.run_episode(rule)

    def state_dict(self) -> State:
        """Return all that decides what follows, between two episodes.

        Raises:
            RuntimeError: An episode is under way.
        """
        return self._interface.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`, of an environment with the same settings.

        Raises:
            ValueError: The settings differ.
        """
        self._interface.load_state_dict(state)
        self._started = True
