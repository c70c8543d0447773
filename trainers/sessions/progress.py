"""How far a training is, as a bar on a terminal."""

from __future__ import annotations

import shutil
import sys

from tqdm import tqdm


class TrainingBar:
    """A bar on stderr: share, number and time left, and what the training says.

    Args:
        total: Episodes of the whole run, or whatever is counted.
        done: Of them before now; the time left is of the others.
        unit: What is counted.
        shown: Whether there is a bar at all.
    """

    def __init__(self, total: int, done: int = 0, unit: str = "episodes", shown: bool = True) -> None:
        counted = "{percentage:3.0f}% {bar:20} {n_fmt} of {total_fmt} " + unit
        size = shutil.get_terminal_size((100, 24))  # tqdm shows nothing on a terminal that does not tell its size
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
        """Count from here on: so much was done before."""
        self._bar.initial = self._bar.n = done

    def show(self, done: int, said: str | None = None) -> None:
        """Move the bar; `said` stands beside it until something else is said."""
        if said is not None:
            self._bar.set_postfix_str(said, refresh=False)
        if done > self._bar.n:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is, and the cursor below it."""
        self._bar.close()
