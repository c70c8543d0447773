"""Stable-Baselines3 callbacks: checkpoints, progress, the schedule of sigma."""

from __future__ import annotations

import sys
import time
from typing import Any, cast

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.trainers.sessions.interrupts import StopRequest
from snn_plasticity_gym.trainers.sessions.progress import TrainingBar
from snn_plasticity_gym.utils.distributed import World


class EpisodeCallback(BaseCallback):
    """Acts once every so many episodes, at the end of a rollout.

    Args:
        every: Episodes between two actions.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every

    @property
    def episodes(self) -> int:
        """Episodes so far, over all lifetimes."""
        return episodes_done(self)

    def _on_training_start(self) -> None:
        self._next = next_multiple(self.episodes, self._every)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.episodes >= self._next:
            self._next = next_multiple(self.episodes, self._every)
            self.act()

    def act(self) -> None:
        """Called when the action is due."""
        raise NotImplementedError


class SigmaSchedule(BaseCallback):
    """Interpolates sigma linearly from its first value to its last, rollout by rollout.

    Args:
        first: In the first rollout.
        last: When all episodes are over.
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self._first, self._last = first, last

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        model = cast(EventLearner, self.model)
        policy, done = model.policy, model.progress
        policy.sigma = self._first + (self._last - self._first) * done
        self.logger.record("train/sigma", policy.sigma)


class SaveCheckpoints(BaseCallback):
    """Saves a checkpoint between two updates, every so many episodes, at the end, and when a stop is requested.

    If that fails, a warning says so, and the next update tries again. Of several processes the first one writes the
    states of all.

    Args:
        checkpoints: Folder of checkpoints; None: another process writes.
        every: Episodes between two checkpoints; 0: none but the last.
        metrics: Writer of metrics.csv, whose rows belong to a checkpoint; None: another process writes.
        stop: Stop request of the run.
        seconds: Time taken by earlier processes of the run.
        extra: Further entries of a checkpoint.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        every: int,
        metrics: MetricsCSV | None,
        stop: StopRequest,
        seconds: float,
        extra: dict[str, Any],
    ) -> None:
        super().__init__()
        self._checkpoints, self._metrics, self._stop = checkpoints, metrics, stop
        self._every, self._before, self._extra = every, seconds, extra
        self._world = World()

    def _on_step(self) -> bool:
        return True

    def _on_training_start(self) -> None:
        self._first = self.num_timesteps
        self._next_episode = next_multiple(episodes_done(self), self._every)
        # Stable-Baselines3 has just begun to measure time and speed.
        self.model.start_time -= int(self._before * 1e9)
        self.model._num_timesteps_at_start = 0

    def _on_rollout_start(self) -> None:
        if self.num_timesteps == self._first:
            return
        stop_requested = self._world.any(self._stop.requested)  # a signal reaches processes in different updates
        if stop_requested or self._world.any(bool(self._every) and episodes_done(self) >= self._next_episode):
            self._save()
        if stop_requested:
            raise KeyboardInterrupt  # with the checkpoint saved

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        episodes, model = episodes_done(self), cast(EventLearner, self.model)
        learners = self._world.collect(model.state_dict())
        if self._checkpoints is None or self._metrics is None:
            self._next_episode = next_multiple(episodes, self._every)
            return
        state = {
            "learner": learners[0],
            "other_learners": learners[1:],  # those of the other processes
            "log": _pending(self.logger),
            "rows": self._metrics.rows,
            "episodes": episodes,
            "seconds": (time.time_ns() - model.start_time) / 1e9,
            **self._extra,
        }
        if self._checkpoints.attempt(episodes, state):
            self._next_episode = next_multiple(episodes, self._every)


def episodes_done(callback: BaseCallback) -> int:
    """Return the episodes so far, over all lifetimes."""
    return cast(EventLearner, callback.model).num_episodes


def next_multiple(episodes: int, every: int) -> int:
    """Return the first multiple of `every` beyond `episodes`; 0 if `every` is."""
    return (episodes // every + 1) * every if every else 0


def _pending(logger: Logger) -> list[tuple[str, Any, tuple[str, ...]]]:
    """Return the values recorded since the last row, which the next row will contain."""
    values = {
        name: value.item() if isinstance(value, np.generic) else value for name, value in logger.name_to_value.items()
    }
    return [(name, value, tuple(logger.name_to_excluded[name])) for name, value in values.items()]


class ProgressBar(BaseCallback):
    """Progress bar of the episodes done, the first and the present mean reward, and the time left.

    Args:
        total: Episodes of the whole run.
        num_lifetimes: Parallel lifetimes, in all processes.
    """

    def __init__(self, total: int, num_lifetimes: int) -> None:
        super().__init__()
        self._num_lifetimes = num_lifetimes
        self._first: float | None = None
        self._bar = TrainingBar(total)

    def _on_training_start(self) -> None:
        self._bar.begin(episodes_done(self))  # a resumed run

    def _on_step(self) -> bool:
        self._bar.show(episodes_done(self) + self.locals["episode"] * self._num_lifetimes)
        return True

    def _on_rollout_end(self) -> None:
        reward = float(self.logger.name_to_value["rollout/reward"])
        self._first = reward if self._first is None else self._first
        self._bar.show(episodes_done(self), f"reward {self._first:.3g}, now {reward:.3g}")

    def close(self) -> None:
        """Close the bar, and move the cursor below it."""
        self._bar.close()


class ProgressLines(EpisodeCallback):
    """Prints progress lines, where there is no terminal for a progress bar.

    Args:
        total: Episodes of the whole run.
    """

    def __init__(self, total: int) -> None:
        super().__init__(every=max(1, total // 10))
        self._total = total
        self._began = time.perf_counter()

    def act(self) -> None:
        """Print a progress line."""
        reward = self.logger.name_to_value["rollout/reward"]
        seconds = time.perf_counter() - self._began
        print(f"{self.episodes:6d} of {self._total} episodes  reward {reward:.4g}  {seconds:.0f} s", file=sys.stderr)
