"""Results of an episode.

Axes: R lifetimes of one call, N neurons, E events, P rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class LastEpisode(NamedTuple):
    """Result of one lifetime's last episode, in plain numbers."""

    reward: float
    terms: dict[str, float]  # NaN where a part has no value
    info: Mapping[str, Tensor]  # (...) each


class EpisodeResult(NamedTuple):
    """Result of an episode, for R lifetimes."""

    reward: Tensor  # (R,) sum of all rewards
    terms: dict[str, Tensor]  # (R,) each, the reward's parts; NaN where a part has no value
    info: dict[str, Tensor]  # (R, ...) each, the task's information on the episode, e.g. winner, image and label
    spikes: dict[str, Tensor]  # (R,) int64 each, spikes of every population in the episode
    rates: Tensor  # (R, N) spikes per ms of the readout population
    num_events: Tensor  # (R,) int64
    length: Tensor  # (R,) int64, time steps
    truncated: Tensor  # bool (R,): cut off, not ended
    payments: Tensor  # (R, P) reward at each of the steps below; 0 after the episode's end
    payment_steps: Tensor  # (P,) int64 number of time steps at each reward
    # By batch of events, (E,) each, where events have separate rewards and the rule was called with events.
    event_rewards: list[Tensor] | None = None

    def by_lifetime(self) -> list[LastEpisode]:
        """Return the episode of each lifetime in plain numbers."""
        rewards = self.reward.tolist()
        terms = {name: values.tolist() for name, values in self.terms.items()}
        info = {name: values.unbind() for name, values in self.info.items()}
        return [
            LastEpisode(
                reward,
                {name: values[place] for name, values in terms.items()},
                {name: values[place] for name, values in info.items()},
            )
            for place, reward in enumerate(rewards)
        ]
