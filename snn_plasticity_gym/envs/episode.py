"""How an episode went.

Axes: R lifetimes of one call, N neurons, E events.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from snn_plasticity_gym.tasks.images import Stimulus


class EpisodeResult(NamedTuple):
    """How an episode went, for R lifetimes."""

    reward: Tensor  # (R,)
    terms: dict[str, Tensor]  # (R,) each, the reward's parts; NaN where a part has no value
    winners: Tensor  # (R,) int64, the neuron that answered; -1 where none did
    spikes: dict[str, Tensor]  # (R,) int64 each, spikes of every population in the episode
    rates: Tensor  # (R, N) spikes per step of the answering population
    num_events: Tensor  # (R,) int64
    images: Tensor  # (R,) int64, image in its split
    labels: Tensor  # (R,) int64
    event_rewards: list[Tensor] | None = None  # of events written together, (E,) each, where events have their own


class LastEpisode(NamedTuple):
    """How the last judged episode of one lifetime went, in plain numbers."""

    shown: Stimulus  # the presentation that was judged, to tell whether it is still the present one
    winner: int  # -1: nobody
    reward: float
    terms: dict[str, float]  # NaN where a part has no value
