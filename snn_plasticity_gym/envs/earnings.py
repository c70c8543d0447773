"""Rewards of lifetimes in their present episodes.

Axes: B lifetimes, R lifetimes of one call, P rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.tasks.base import LivedEpisodes, Outcome


class EpisodeRewards(NamedTuple):
    """Rewards of R lifetimes in an episode; fields as in `EpisodeResult`."""

    reward: Tensor  # (R,)
    truncated: Tensor  # bool (R,)
    terms: dict[str, Tensor]  # (R,) each
    info: dict[str, Tensor]  # (R, ...) each
    payments: Tensor  # (R, P)
    payment_steps: Tensor  # (P,)
    event_rewards: list[Tensor] | None


class Earnings:
    """Sums of rewards and terms over the episodes of B lifetimes, and each reward.

    Args:
        num_lifetimes: B.
        device: Device of tensors.
    """

    def __init__(self, num_lifetimes: int, device: torch.device) -> None:
        self._device = device
        self._reward = torch.zeros(num_lifetimes, device=device)
        self._truncated = torch.zeros(num_lifetimes, dtype=torch.bool, device=device)
        self._terms: dict[str, Tensor] = {}  # (B,) each
        self._info: dict[str, Tensor] = {}  # (B, ...) each
        self._payments: dict[int, Tensor] = {}  # (B,) by the number of time steps done
        # The first step result of an episode, if of all lifetimes at the same step; most often it is the only one.
        self._first: tuple[Outcome, int] | None = None
        self._all_zero = True  # all sums are 0
        self._event_rewards: dict[tuple[int, ...], list[Tensor]] = {}  # by the lifetimes of a step result

    def begin(self, rows: Sequence[int], index: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`, `index` as a tensor."""
        if len(rows) == len(self._reward):
            self._first = None
            if self._all_zero:
                return
        self._flush_first()
        self._reward[index] = 0.0
        for values in [*self._terms.values(), *self._payments.values()]:
            values[index] = 0.0
        if len(rows) == len(self._reward):
            self._payments = {}
            self._event_rewards = {}
            self._all_zero = True
        for row in rows:
            self._event_rewards.pop((row,), None)

    def add(self, outcome: Outcome, steps: int | NDArray[np.int64]) -> None:
        """Add a step result to lifetimes after so many steps: the same for all, or (B,)."""
        all_rows = outcome.rows.size(0) == len(self._reward)
        if isinstance(steps, int) and all_rows and self._all_zero and self._first is None:
            self._first = outcome, steps
            return
        self._flush_first()
        self._sum(outcome, steps)

    def take(self, lived: LivedEpisodes, window: int) -> None:
        """Set the rewards of all lifetimes in an episode run at once, with `window` time steps per action."""
        self._all_zero = False
        self._reward.copy_(lived.rewards.sum(dim=1))
        self._truncated.copy_(~lived.terminated)
        self._info = dict(lived.info)
        longest = int(lived.steps.max()) // window
        self._payments = {
            window * (place + 1): rewards
            for place, rewards in enumerate(lived.rewards[:, :longest].T.contiguous().unbind())
        }

    def _flush_first(self) -> None:
        """Add the first step result to the sums, since others follow."""
        if self._first is not None:
            outcome, step = self._first
            self._first = None
            self._sum(outcome, step)

    def _sum(self, outcome: Outcome, steps: int | NDArray[np.int64]) -> None:
        self._all_zero = False
        rows = outcome.rows
        self._reward[rows] += outcome.reward
        self._truncated[rows] = outcome.truncated & ~outcome.terminated
        for name, values in outcome.terms.items():
            if name not in self._terms:
                self._terms[name] = torch.zeros_like(self._reward, dtype=values.dtype)
            self._terms[name][rows] += values
        for name, values in outcome.info.items():
            if name not in self._info:
                self._info[name] = values.new_zeros(len(self._reward), *values.shape[1:])
            self._info[name][rows] = values
        which = rows.tolist()
        done = np.broadcast_to(steps, len(self._reward))[which]  # (R,)
        for step in np.unique(done).tolist():
            here = np.flatnonzero(done == step).tolist()
            if step not in self._payments:
                self._payments[step] = torch.zeros_like(self._reward)
            self._payments[step][rows[here]] += outcome.reward[here]
        if outcome.event_rewards is not None:
            self._event_rewards[tuple(which)] = outcome.event_rewards

    def of(self, rows: Sequence[int], index: Tensor) -> EpisodeRewards:
        """Return the rewards of the lifetimes `rows`, `index` as a tensor."""
        if self._first is not None and len(rows) == len(self._reward):
            outcome, step = self._first
            return EpisodeRewards(
                reward=outcome.reward,
                truncated=outcome.truncated > outcome.terminated,  # and not terminated, in one operation
                terms=dict(outcome.terms),
                info=dict(outcome.info),
                payments=outcome.reward.unsqueeze(1),
                payment_steps=torch.from_numpy(np.array([step])).to(self._device),
                event_rewards=outcome.event_rewards,
            )
        self._flush_first()
        steps = sorted(self._payments)
        payments = [self._payments[step][index] for step in steps]
        own: list[Tensor] | None = None
        if self._event_rewards:
            found = self._event_rewards.get(tuple(rows))
            own = found or [part for row in rows for part in self._event_rewards[(row,)]]
        return EpisodeRewards(
            reward=self._reward[index],
            truncated=self._truncated[index],
            terms={name: values[index] for name, values in self._terms.items()},
            info={name: values[index] for name, values in self._info.items()},
            payments=torch.stack(payments, dim=1) if payments else self._reward.new_zeros(len(rows), 0),
            payment_steps=torch.tensor(steps, dtype=torch.int64, device=self._device),
            event_rewards=own,
        )
