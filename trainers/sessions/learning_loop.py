"""Training loop of learners outside Stable-Baselines3.

A `Training` defines task, learner and evaluation; run folder, log, checkpoints and the loop over update steps are
common to all.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, claimed
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.trainers.sessions.callbacks import next_multiple
from snn_plasticity_gym.trainers.sessions.interrupts import StopRequest
from snn_plasticity_gym.trainers.sessions.opening import open_log, open_run, prepare
from snn_plasticity_gym.trainers.sessions.progress import TrainingBar
from snn_plasticity_gym.trainers.sessions.report_session import report_at_end
from snn_plasticity_gym.utils.state import State

Config = BPTTConfig | PlasticConfig | SVPGConfig


class SteppedLearner(Protocol):
    """Learner with a generator of update steps, whose state can be saved between two of them."""

    total: int  # episodes in all, or another unit
    episodes: int  # learned from so far

    def steps(self) -> Iterator[None]:
        """Yield after each update step until all episodes are done."""

    def state_dict(self) -> State:
        """Return the complete state."""

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""


class Row(NamedTuple):
    """Metrics of a learner at one time."""

    values: Mapping[str, float]  # by key of the log
    message: str  # the same as text


class FinalResult(NamedTuple):
    """Final evaluation of a learner."""

    result: dict[str, Any]  # for result.json
    values: Mapping[str, float]  # by key of the log
    message: str  # lines to print


class Training(Protocol):
    """A learner with its metrics and its final evaluation."""

    @property
    def learner(self) -> SteppedLearner:
        """The learner."""

    @property
    def title(self) -> str:
        """First printed line."""

    @property
    def dataset(self) -> dict[str, Any] | None:
        """Description of the data set, for the run's folder; None: no data."""

    def row(self) -> Row:
        """Return training metrics since the last call, and validation metrics."""

    def judge(self, run: RunFolder) -> FinalResult:
        """Save the weights in the run's folder, and test them on held-out data."""


def carry_out(
    kind: str,
    config: Config,
    make: Callable[[int], Training],
    steps_per_episode: int = 1,
    unit: str = "episodes",
    every: int = 0,
) -> Path:
    """Train, test once at the end, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights and result.json.

    Args:
        kind: The folder's parent.
        config: Settings of the run.
        make: Makes the training from a seed.
        steps_per_episode: Time steps per episode, for the log's step counter.
        unit: Unit of the learner's progress.
        every: Progress between two rows of metrics; 0: the setting eval_every.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, or the run to resume is complete.
        ValueError: The device does not exist.
    """
    began = time.perf_counter()
    seed = prepare(config)
    with contextlib.ExitStack() as held:
        if config.resume:
            held.enter_context(claimed(config.resume))
        saved = _newest(config.resume) if config.resume else None
        training = make(seed)
        settings = {**to_dict(config), "seed": seed, "resume": ""}
        run = open_run(config, kind, settings, config.resume, training.dataset)
        if not config.resume:
            held.enter_context(claimed(run.path))
        metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
        learner = training.learner
        if saved:
            learner.load_state_dict(saved["learner"])
            began -= saved["seconds"]
        print(training.title)
        print(f"seed {seed}, device {config.device}, {torch.get_num_threads()} threads")
        print(f"run folder {run.path}" + (f", resumed at {learner.episodes} {unit}" if saved else ""), flush=True)
        try:
            own = Checkpoints(run.checkpoints)
            _learn(config, training, logger, metrics, own, began, steps_per_episode, unit, every or config.eval_every)
            final, seconds = training.judge(run), time.perf_counter() - began
            result = {**final.result, unit: learner.total, "seconds": seconds, "seed": seed}
            run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
            _log(logger, final.values, learner.total * steps_per_episode)
            page = report_at_end(run.path, logger, learner.total * steps_per_episode) if config.report else None
        except KeyboardInterrupt:
            print(f"\nstopped; continue with --resume={run.path}", file=sys.stderr)
            raise
        finally:
            logger.close()
    print(final.message)
    print(f"{seconds:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def _newest(folder: str) -> dict[str, Any] | None:
    """Return the newest checkpoint of an unfinished run; None: a new run."""
    run = RunFolder(folder)
    if (run.path / "result.json").exists():
        raise ConfigError(f"{run.path} has had its episodes; start another run")
    return Checkpoints(run.checkpoints).take_up()


def _learn(
    config: Config,
    training: Training,
    logger: Logger,
    metrics: MetricsCSV,
    checkpoints: Checkpoints,
    began: float,
    steps_per_episode: int,
    unit: str,
    rows_every: int,
) -> None:
    """Learn from all episodes; log a row every `rows_every` of them and at the end, and save checkpoints likewise.

    Raises:
        KeyboardInterrupt: A stop was requested; the checkpoint is saved.
    """
    learner = training.learner
    total, every = learner.total, config.checkpoint_every
    next_row, next_checkpoint = next_multiple(learner.episodes, rows_every), next_multiple(learner.episodes, every)
    show_bar = config.progress and sys.stderr.isatty()
    with StopRequest() as stop, TrainingBar(total, learner.episodes, unit, show_bar) as bar:
        for _ in learner.steps():
            bar.show(learner.episodes)
            if learner.episodes >= min(next_row, total):
                next_row = next_multiple(learner.episodes, rows_every)
                row, seconds = training.row(), time.perf_counter() - began
                values = {**row.values, f"time/{unit}": learner.episodes, "time/seconds": seconds}
                _log(logger, values, learner.episodes * steps_per_episode)
                if config.progress and not show_bar:
                    done = f"{learner.episodes:7d} of {total} {unit}"
                    print(f"{done}  {row.message}  {seconds:.0f} s", file=sys.stderr, flush=True)
            if stop.requested or learner.episodes == total or (every and learner.episodes >= next_checkpoint):
                state = {"learner": learner.state_dict(), "rows": metrics.rows, "seconds": time.perf_counter() - began}
                if checkpoints.attempt(learner.episodes, state):
                    next_checkpoint = next_multiple(learner.episodes, every)
            if stop.requested:
                raise KeyboardInterrupt


def _log(logger: Logger, values: Mapping[str, float], step: int) -> None:
    for key, value in values.items():
        logger.record(key, value)
    logger.dump(step)
