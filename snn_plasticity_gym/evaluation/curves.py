"""Cohorts of networks that a rule is evaluated on, their test times, and the progress callback."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

TOGETHER = 32  # episodes between two calls of a watcher, at most: they may be run together, and their results are kept


class Cohort(NamedTuple):
    """Fresh networks trained in parallel by a rule, each on as many episodes, and tested at intervals."""

    num_networks: int  # B, with seeds seed, seed + 1, ...
    train_episodes: int  # that each network learns from
    seed: int  # of networks, training episodes and input spikes: the same seed gives every rule the same ones
    tests: int | None = None  # after one before learning, evenly spread; None: one alone, when all is learned
    common_seed: int | None = None  # of what `common_noise` shares; None: `seed`

    @property
    def times(self) -> list[int]:
        """Training episodes after which the networks are tested."""
        return test_times(self.train_episodes, self.tests)


def test_times(train_episodes: int, tests: int | None) -> list[int]:
    """Return the training episodes after which to test: 0, then `tests` times, evenly spread.

    Args:
        train_episodes: Episodes to learn from.
        tests: Tests after the first; None: one alone, at the end.
    """
    if tests is None:
        return [train_episodes]
    return sorted({round(train_episodes * k / tests) for k in range(tests + 1)})


class Watcher:
    """Progress callback of an evaluation; the base class ignores all calls."""

    def shown(self) -> None:
        """Called after every network has learned from one more episode."""

    def tested(self, episodes: int, score: Tensor) -> None:
        """Called after a test.

        Args:
            episodes: Training episodes so far.
            score: Accuracy or mean return of each network, (B,).
        """
