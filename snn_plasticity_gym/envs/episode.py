"""How an episode went.

Axes: R lifetimes of one call, N neurons, E events, P payments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class EpisodeResult(NamedTuple):
    """How an episode went, for R lifetimes."""

    reward: Tensor  # (R,) all that was paid
    terms: dict[str, Tensor]  # (R,) each, the reward's parts; NaN where a part has no value
    info: dict[str, Tensor]  # (R, ...) each, what the task tells of the episode, e.g. winner, image and label
    spikes: dict[str, Tensor]  # (R,) int64 each, spikes of every population in the episode
    rates: Tensor  # (R, N) spikes per ms of the answering population
    num_events: Tensor  # (R,) int64
    length: Tensor  # (R,) int64, time steps
    truncated: Tensor  # bool (R,): cut off, not ended
    payments: Tensor  # (R, P) what was paid at each of the steps below; 0 after the episode's end
    payment_steps: Tensor  # (P,) int64 number of time steps done then
    # Of events written together, (E,) each, where events have their own, and were answered one batch after the other.
    event_rewards: list[Tensor] | None = None


class LastEpisode(NamedTuple):
    """How the last episode of one lifetime went, in plain numbers."""

    reward: float
    terms: dict[str, float]  # NaN where a part has no value
    info: Mapping[str, Tensor]  # (...) each
