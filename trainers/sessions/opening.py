"""How a run begins: its seed, its folder, its log."""

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
        ConfigError: TensorBoard is wanted, and is not there.
    """
    require_tensorboard(config.tensorboard)
    if config.threads:
        torch.set_num_threads(config.threads)
    return config.seed if config.seed >= 0 else secrets.randbelow(2**31)


def open_run(
    config: RunConfig, kind: str, settings: dict[str, Any], resume: str, dataset: dict[str, Any] | None
) -> RunFolder:
    """Return the folder of a run, a new one unless it goes on.

    Args:
        config: What is wanted.
        kind: The folder's parent, e.g. the environment.
        settings: All of the run, its seed among them.
        resume: Folder of the run that goes on; empty: none.
        dataset: Of what it learns; None: there are no data.

    Raises:
        ConfigError: It cannot be made, or the settings are not those of the run that goes on.
    """
    if resume:
        return RunFolder.reopen(resume, settings)
    seed = settings["seed"]
    return RunFolder.create(kind, settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=dataset)


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
