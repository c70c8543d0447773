"""Start of a run: its seed, folder and log."""

from __future__ import annotations

import secrets
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.training import RunConfig
from snn_plasticity_gym.runs.folder import RunFolder, make_logger, require_tensorboard, tensorboard_writer
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.runs.wandb_writer import start_wandb


def prepare(config: RunConfig) -> int:
    """Set the threads of torch, and return the run's seed, which is drawn where none is given.

    Raises:
        ConfigError: TensorBoard is requested, but not installed.
    """
    require_tensorboard(config.tensorboard)
    if config.threads:
        torch.set_num_threads(config.threads)
    return config.seed if config.seed >= 0 else secrets.randbelow(2**31)


def open_run(
    config: RunConfig, kind: str, settings: dict[str, Any], resume: str, dataset: dict[str, Any] | None
) -> RunFolder:
    """Return the folder of a run, a new one unless it is resumed.

    Args:
        config: Settings of the run.
        kind: The folder's parent, e.g. the environment.
        settings: All of the run, its seed among them.
        resume: Folder of the run to resume; empty: none.
        dataset: Description of the data set; None: no data.

    Raises:
        ConfigError: It cannot be made, or the settings differ from those of the resumed run.
    """
    if resume:
        return RunFolder.reopen(resume, settings)
    seed = settings["seed"]
    return RunFolder.create(kind, settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=dataset)


def open_log(
    config: RunConfig, run: RunFolder, settings: dict[str, Any], rows: int, resumed: bool
) -> tuple[MetricsCSV, Logger]:
    """Return the log writers of a run: metrics.csv, W&B and, if requested, TensorBoard.

    Args:
        config: Settings of the run.
        run: The run's folder.
        settings: All of the run, for W&B.
        rows: Rows of metrics.csv by earlier processes to keep.
        resumed: Whether the run is resumed.

    Returns:
        The writer of metrics.csv, whose rows a checkpoint counts, and the logger of all writers.
    """
    metrics = MetricsCSV(run.metrics_csv, rows)
    writer = start_wandb(config.wandb, run, settings, config.wandb_project, resumed=resumed)
    return metrics, make_logger(run, metrics, writer, tensorboard_writer(run, config.tensorboard))
