"""What differs between the environments: which network lives, what a synapse sees, what an episode is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.networks.network import Network, NetworkActivity, Population, Projection
from snn_plasticity_gym.plasticity.event_log import WrittenEvents
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.utils.state import State, restore_all


class Episode(NamedTuple):
    """One image shown to each of R lifetimes, seen from its end."""

    rows: Tensor  # (R,) int64, which lifetimes
    places: Tensor  # (R,) int64, place of the image in the lifetime's pool
    labels: Tensor  # (R,) int64
    raster: dict[str, Tensor]  # bool (R, T, N), spikes of each population
    potentials: dict[str, Tensor]  # (R, T, N) before the reset; empty unless the task needs them
    written: list[WrittenEvents]  # what was done to the weights, in order; empty unless events are rewarded one by one

    def places_of_lifetimes(self, num_lifetimes: int) -> Tensor:
        """Return where each lifetime stands among the R, int64 (B,); 0 for those that are not among them."""
        place = torch.zeros(num_lifetimes, dtype=torch.int64, device=self.rows.device)
        place[self.rows] = torch.arange(len(self.rows), device=self.rows.device)
        return place


class Verdict(NamedTuple):
    """What an episode was worth, and who won it."""

    result: RewardResult
    winners: Tensor  # (R,) int64, -1 where nobody spiked


class Task(ABC):
    """One environment's network and reward.

    The engine calls `start_lifetime`, then for each image `begin`, for each of its steps `currents`, `observe` and
    `extras`, and `judge`. A task that needs none of them but the last two leaves the others as they are.
    """

    populations: list[Population]
    projections: list[Projection]
    groups: list[str]  # names of the groups of synapses, each with a policy head (or two, one for each kind of event)
    input_name: str  # population that shows the image
    readout: str  # population that answers it
    extra_names: tuple[str, ...] = ()  # scalars of an event beyond its weight and kind
    rewards_events = False  # each event has a reward of its own
    needs_potentials = False  # membrane potentials are kept for `judge`
    follows_steps = False  # `currents` or `observe` does something, so that steps have to be taken one by one

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:  # noqa: B027 - nothing to do is a default
        """Begin lifetime `row` anew: forget the one before, draw from `rng` what lasts as long as it does."""

    def end_plasticity(self, row: int) -> None:  # noqa: B027
        """Note that the synapses of lifetime `row` will not change any more."""

    def begin(self, rows: Tensor, labels: Tensor) -> None:  # noqa: B027
        """Show an image of the given labels (R,) to each of the lifetimes `rows` (R,)."""

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the current from outside into populations of the lifetimes `rows` in a step, (R, N) each."""
        return {}

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:  # noqa: B027
        """See what fired in a step of the lifetimes `rows`; `step`, from 0, is common or each one's own (R,)."""

    def state_dict(self) -> State:
        """Return what the task carries from image to image."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        restore_all({}, state)

    def extras(self, events: SynapseEvents) -> Tensor:
        """Return the extra scalars of each event, (E, number of `extra_names`)."""
        return events.extras

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each population that has one, (B, N) each, as of now."""
        return {}

    @abstractmethod
    def judge(self, episode: Episode, network: Network) -> Verdict:
        """Judge an episode, and remember it where the reward looks back; the network is left as it is."""
