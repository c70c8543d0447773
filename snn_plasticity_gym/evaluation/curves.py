"""By which networks rules are judged, when these are tested, and who is told how far they have come."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Cohort(NamedTuple):
    """Fresh networks that learn by a rule side by side, each from as many episodes, and are tested on the way."""

    num_networks: int  # B, with seeds seed, seed + 1, ...
    train_episodes: int  # that each network learns from
    seed: int  # of networks, training episodes and input spikes: the same seed gives every rule the same ones
    tests: int | None = None  # after one before learning, evenly spread; None: one alone, when all is learned
    common_seed: int | None = None  # of what `common_noise` shares; None: `seed`

    @property
    def times(self) -> list[int]:
        """After how many episodes they are tested."""
        return test_times(self.train_episodes, self.tests)


def test_times(train_episodes: int, tests: int | None) -> list[int]:
    """Return after how many training episodes to test: before the first, then `tests` times, evenly spread.

    Args:
        train_episodes: Episodes to learn from.
        tests: Tests after the first; None: one alone, at the end.
    """
    if tests is None:
        return [train_episodes]
    return sorted({round(train_episodes * k / tests) for k in range(tests + 1)})


class Watcher:
    """Is told of a learner's progress. This one does nothing with it."""

    def shown(self) -> None:
        """Hear that every network has learned from one more episode."""

    def tested(self, episodes: int, score: Tensor) -> None:
        """Hear how a test went.

        Args:
            episodes: Training episodes so far.
            score: Of each network, (B,): its share of right answers, or its mean return.
        """
