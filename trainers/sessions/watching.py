"""Progress display of a long evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from torch import Tensor
from tqdm import tqdm

from snn_plasticity_gym.evaluation.curves import Watcher

PATIENCE = 60.0  # seconds without output


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


class ScreenWatcher(Watcher):
    """Shows a progress bar on stderr if that is a terminal; if learning takes long, prints intermediate tests.

    Args:
        name: Of the rule.
        train_episodes: Episodes of its training.
        silent: Whether nothing is shown.
        unit: Name of an episode.
        format_score: Formats the mean score of a test.
    """

    def __init__(
        self,
        name: str,
        train_episodes: int,
        silent: bool = False,
        *,
        unit: str = "images",
        format_score: Callable[[float], str] = _percent,
    ) -> None:
        self._name = name
        self._silent = silent
        self._total = train_episodes
        self._unit = unit
        self._format_score = format_score
        self._spoke = time.monotonic()
        self._bar = tqdm(total=train_episodes, desc=name, unit=f" {unit}", leave=False, disable=silent or None)

    def __enter__(self) -> ScreenWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def shown(self) -> None:
        """Move the bar."""
        self._bar.update()

    def tested(self, episodes: int, score: Tensor) -> None:
        """Print an intermediate test; the last one is the result."""
        if not self._silent and 0 < episodes < self._total and time.monotonic() - self._spoke > PATIENCE:
            self._spoke = time.monotonic()
            mean = self._format_score(score.mean().item())
            tqdm.write(f"{self._name}: {mean} after {episodes:,} of {self._total:,} {self._unit}", file=sys.stderr)
