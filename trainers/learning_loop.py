"""What programs with a learner of their own have in common: where they log, and the loop from step to step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from rich.console import Console
from rich.progress import Progress
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.config.training import RunConfig
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, make_logger, tensorboard_writer
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.runs.wandb_writer import start_wandb
from snn_plasticity_gym.trainers.callbacks import next_multiple
from snn_plasticity_gym.trainers.interrupts import StopRequest
from snn_plasticity_gym.utils.state import State


class SteppedLearner(Protocol):
    """Learns step by step, and can be taken up between two of them."""

    total: int  # episodes in all
    episodes: int  # learned from so far

    def steps(self) -> Iterator[None]:
        """Take one step after the other until all episodes are over."""

    def state_dict(self) -> State:
        """Return all that decides what follows."""


def open_log(
    config: RunConfig, run: RunFolder, settings: dict[str, Any], rows: int, resumed: bool
) -> tuple[MetricsCSV, Logger]:
    """Return where a run logs: metrics.csv, W&B and, if it is wanted, TensorBoard.

    Args:
        config: What is wanted.
        run: The run's folder.
        settings: All of the run, for W&B.
        rows: Of metrics.csv that an earlier process has written and that stay.
        resumed: Whether the run goes on.

    Returns:
        The rows of metrics.csv, which a checkpoint counts, and the logger that writes everywhere.
    """
    metrics = MetricsCSV(run.metrics_csv, rows)
    writer = start_wandb(config.wandb, run, settings, config.wandb_project, resumed=resumed)
    return metrics, make_logger(run, metrics, writer, tensorboard_writer(run, config.tensorboard))


def learn(
    config: BPTTConfig | PlasticConfig | SVPGConfig,
    learner: SteppedLearner,
    record: Callable[[float, bool], None],
    metrics: MetricsCSV,
    checkpoints: Checkpoints,
    began: float,
) -> None:
    """Learn from all episodes; record every `eval_every` of them and at the end, and save checkpoints likewise.

    Args:
        config: How often.
        learner: Learns.
        record: Logs a row, given the seconds since the run began and whether to print a line, too.
        metrics: Whose rows a checkpoint counts.
        checkpoints: Where they go.
        began: Time at which the run began, less what it took in earlier processes.

    Raises:
        KeyboardInterrupt: The run was asked to stop; the checkpoint is saved.
    """
    total, every = learner.total, config.checkpoint_every
    next_row, due = next_multiple(learner.episodes, config.eval_every), next_multiple(learner.episodes, every)
    show_bar = config.progress and sys.stderr.isatty()
    with StopRequest() as stop, Progress(console=Console(stderr=True), disable=not show_bar) as bar:
        task = bar.add_task("episodes", total=total, completed=learner.episodes)
        for _ in learner.steps():
            bar.update(task, completed=learner.episodes)
            if learner.episodes >= min(next_row, total):
                next_row = next_multiple(learner.episodes, config.eval_every)
                record(time.perf_counter() - began, config.progress and not show_bar)
            if stop.asked or learner.episodes == total or (every and learner.episodes >= due):
                state = {"learner": learner.state_dict(), "rows": metrics.rows, "seconds": time.perf_counter() - began}
                if checkpoints.attempt(learner.episodes, state):
                    due = next_multiple(learner.episodes, every)
            if stop.asked:
                raise KeyboardInterrupt
