"""When a learner is tested, and who is told how far it has come."""

from __future__ import annotations

from torch import Tensor


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
