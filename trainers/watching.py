"""Progress of a long evaluation on the screen."""

from __future__ import annotations

import sys
import time

from torch import Tensor
from tqdm import tqdm

from snn_plasticity_gym.evaluation.curves import Watcher

PATIENCE = 60.0  # seconds without a word


class ScreenWatcher(Watcher):
    """Shows a bar on stderr if that is a terminal; if learning takes long, it says how tests on the way go.

    Args:
        name: Of the rule.
        train_episodes: Images that it teaches.
        silent: Whether nothing is shown.
    """

    def __init__(self, name: str, train_episodes: int, silent: bool = False) -> None:
        self._name = name
        self._silent = silent
        self._train_images = train_episodes
        self._spoke = time.monotonic()
        self._bar = tqdm(total=train_episodes, desc=name, unit=" images", leave=False, disable=silent or None)

    def __enter__(self) -> ScreenWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def shown(self) -> None:
        """Move the bar."""
        self._bar.update()

    def tested(self, images: int, accuracy: Tensor) -> None:
        """Say how a test on the way went; the last one is the result."""
        if not self._silent and 0 < images < self._train_images and time.monotonic() - self._spoke > PATIENCE:
            self._spoke = time.monotonic()
            mean = 100 * accuracy.mean().item()
            tqdm.write(f"{self._name}: {mean:.1f} % after {images:,} of {self._train_images:,} images", file=sys.stderr)
