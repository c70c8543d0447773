"""The flat face of an environment: what it offers beside Gymnasium's fixed slots."""

from __future__ import annotations

from torch import Tensor

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.event_interface import Faces
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.utils.state import State


class FlatFace:
    """Batches of events of any size, without padding, for an environment that has its `Faces`."""

    _faces: Faces
    _started: bool  # whether there are networks

    def events(self) -> SynapseEvents | None:
        """Flat face: the events of all lifetimes that wait for an answer, or None when the image has been shown."""
        return self._faces.events()

    def apply(self, delta_d: Tensor) -> None:
        """Flat face: answer `events()` with one normalised weight change each, (E,), and go on to the next ones."""
        self._faces.apply(delta_d)

    def finish(self) -> EpisodeResult:
        """Flat face: return how the episode went, and show the next image to every lifetime."""
        return self._faces.finish()

    def live(self, rule: Rule) -> EpisodeResult:
        """Flat face: `finish` after a rule has answered all events of the image."""
        return self._faces.live(rule)

    def state_dict(self) -> State:
        """Flat face: all that decides what follows, between two images.

        Raises:
            RuntimeError: An image is being shown.
        """
        return self._faces.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Flat face: take over a state of `state_dict`, of an environment with the same settings.

        Raises:
            ValueError: The settings differ.
        """
        self._faces.load_state_dict(state)
        self._started = True
