"""What differs between the environments: which network lives, what a synapse sees, what an episode is worth."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from snn_plasticity_gym.envs.event_log import WrittenEvents
from snn_plasticity_gym.events import SynapseEvents
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.snn.network import Network, Population, Projection


class Episode(NamedTuple):
    """One image shown to each of R lifetimes, seen from its end."""

    rows: Tensor  # (R,) int64, which lifetimes
    places: Tensor  # (R,) int64, place of the image in the lifetime's pool
    labels: Tensor  # (R,) int64
    raster: dict[str, Tensor]  # bool (R, T, N), spikes of each population
    potentials: dict[str, Tensor]  # (R, T, N) before the reset; empty unless events are rewarded one by one
    written: list[WrittenEvents]  # what was done to the weights, in order; likewise


class Verdict(NamedTuple):
    """What an episode was worth, and who won it."""

    result: RewardResult
    winners: Tensor  # (R,) int64, -1 where nobody spiked


class Task(Protocol):
    """One environment's network and reward."""

    populations: list[Population]
    projections: list[Projection]
    groups: list[str]  # names of the groups of synapses, each with a policy head (or two, one for each kind of event)
    input_name: str  # population that shows the image
    readout: str  # population that answers it
    extra_names: tuple[str, ...]  # scalars of an event beyond its weight and kind
    rewards_events: bool  # each event has a reward of its own

    def extras(self, events: SynapseEvents) -> Tensor:
        """Return the extra scalars of each event, (E, number of `extra_names`)."""

    def forget(self, rows: Tensor) -> None:
        """Begin the lifetimes `rows` (R,) anew."""

    def judge(self, episode: Episode, network: Network) -> Verdict:
        """Judge an episode, and remember it where the reward looks back; the network is left as it is."""
