"""Progress bar of a training."""

from __future__ import annotations

import shutil
import sys

from tqdm import tqdm


class TrainingBar:
    """A progress bar on stderr: share, number, time left, and a message.

    Args:
        total: Episodes of the whole run, or another unit.
        done: Of them before this process; they do not count for the time left.
        unit: Unit of progress.
        shown: Whether to show a bar.
    """

    def __init__(self, total: int, done: int = 0, unit: str = "episodes", shown: bool = True) -> None:
        counted = "{percentage:3.0f}% {bar:20} {n_fmt} of {total_fmt} " + unit
        size = shutil.get_terminal_size((100, 24))  # tqdm shows nothing on a terminal of unknown size
        self._bar = tqdm(
            total=total,
            initial=done,
            file=sys.stderr,
            ncols=size.columns,
            nrows=size.lines,
            disable=not shown,
            bar_format=counted + ", {remaining} left{postfix}",
        )

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, done: int) -> None:
        """Set the number done before this process."""
        self._bar.initial = self._bar.n = done

    def show(self, done: int, message: str | None = None) -> None:
        """Update the bar; `message` is displayed until the next one."""
        if message is not None:
            self._bar.set_postfix_str(message, refresh=False)
        if done > self._bar.n:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Close the bar, and move the cursor below it."""
        self._bar.close()
