"""A training with a learner of its own, from its first line on the screen to its last.

What is learned, by what and how it is judged is a `Training`; run folder, log, checkpoints and the loop from step to
step are those of all of them.
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
    """Learns step by step, and can be taken up between two of them."""

    total: int  # episodes in all, or whatever else is counted
    episodes: int  # learned from so far

    def steps(self) -> Iterator[None]:
        """Take one step after the other until all episodes are over."""

    def state_dict(self) -> State:
        """Return all that decides what follows."""

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""


class Row(NamedTuple):
    """What is told of a learner from time to time."""

    values: Mapping[str, float]  # by key of the log
    said: str  # the same for the screen


class Judged(NamedTuple):
    """What has become of a learner in the end."""

    result: dict[str, Any]  # for result.json
    values: Mapping[str, float]  # by key of the log
    said: str  # lines for the screen


class Training(Protocol):
    """What a training is about."""

    @property
    def learner(self) -> SteppedLearner:
        """What learns."""

    @property
    def title(self) -> str:
        """The first line on the screen."""

    @property
    def dataset(self) -> dict[str, Any] | None:
        """Of what it learns, for the run's folder; None: there are no data."""

    def row(self) -> Row:
        """Return what was learned since the last call, and what the learner is worth by now."""

    def judge(self, run: RunFolder) -> Judged:
        """Keep the weights in the run's folder, and judge them by what was held out for it."""


def carry_out(
    kind: str,
    config: Config,
    make: Callable[[int], Training],
    steps_per_episode: int = 1,
    unit: str = "episodes",
    every: int = 0,
) -> Path:
    """Train, judge once at the end, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights and result.json.

    Args:
        kind: The folder's parent.
        config: What is wanted.
        make: Makes what the training is about, as a run with a seed begins.
        steps_per_episode: By which the log counts.
        unit: What is counted.
        every: How many of it lie between two rows of metrics; 0: the setting eval_every.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, or the run to resume has had its episodes.
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
        print(f"run folder {run.path}" + (f", going on at {learner.episodes} {unit}" if saved else ""), flush=True)
        try:
            own = Checkpoints(run.checkpoints)
            _learn(config, training, logger, metrics, own, began, steps_per_episode, unit, every or config.eval_every)
            judged, seconds = training.judge(run), time.perf_counter() - began
            result = {**judged.result, unit: learner.total, "seconds": seconds, "seed": seed}
            run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
            _log(logger, judged.values, learner.total * steps_per_episode)
            page = report_at_end(run.path, logger, learner.total * steps_per_episode) if config.report else None
        except KeyboardInterrupt:
            print(f"\nstopped; go on with --resume={run.path}", file=sys.stderr)
            raise
        finally:
            logger.close()
    print(judged.said)
    print(f"{seconds:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def _newest(folder: str) -> dict[str, Any] | None:
    """Return the newest checkpoint of a run that is not finished; None: it begins anew."""
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
    """Learn from all episodes; record every `rows_every` of them and at the end, and save checkpoints likewise.

    Raises:
        KeyboardInterrupt: The run was asked to stop; the checkpoint is saved.
    """
    learner = training.learner
    total, every = learner.total, config.checkpoint_every
    next_row, due = next_multiple(learner.episodes, rows_every), next_multiple(learner.episodes, every)
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
                    print(f"{done}  {row.said}  {seconds:.0f} s", file=sys.stderr, flush=True)
            if stop.asked or learner.episodes == total or (every and learner.episodes >= due):
                state = {"learner": learner.state_dict(), "rows": metrics.rows, "seconds": time.perf_counter() - began}
                if checkpoints.attempt(learner.episodes, state):
                    due = next_multiple(learner.episodes, every)
            if stop.asked:
                raise KeyboardInterrupt


def _log(logger: Logger, values: Mapping[str, float], step: int) -> None:
    for key, value in values.items():
        logger.record(key, value)
    logger.dump(step)
