"""Result type of rewards."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RewardResult(NamedTuple):
    """Rewards of an episode of R lifetimes."""

    reward: Tensor  # (R,)
    terms: dict[str, Tensor]  # (R,) each; NaN where a term has no value
    event_rewards: list[Tensor] | None = None  # of events written together, (E,) each, for separate rewards of events
