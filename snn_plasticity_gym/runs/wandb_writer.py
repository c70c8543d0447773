"""W&B as a writer of SB3's logger, for numbers, histograms, pictures and tables; no failure stops a training."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Figure, Image, KVWriter, filter_excluded_keys

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import WANDB_MODES
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.runs.tables import Table

ONLINE_TIMEOUT = 15  # seconds to reach the W&B server; WANDB_INIT_TIMEOUT overrides it
FINISH_TIMEOUT = 300  # seconds for the last upload; without a limit, a lost network keeps a finished run from ending
ROOM = 32 << 20  # free bytes needed on disk: once a write fails, W&B's service silently stops writing
REFUSED = "W&B refuses values, metrics.csv continues"

_logger = logging.getLogger("snn_plasticity_gym")


class WandbWriter(KVWriter):
    """Send SB3's logged values to a W&B run, on our own step axis; arrays become histograms, pictures and tables media.

    W&B's own step may only grow and counts calls; `global_step` is the number of environment steps. A log that
    fails is reported once and never stops the training: metrics.csv has the numbers. While the disk is nearly full,
    logs are queued here, as rows of metrics.csv are.

    Args:
        run: Of W&B.
        folder: A folder on the disk that W&B writes to.
    """

    def __init__(self, run: Any, folder: Path):
        self.run = run
        self._folder = folder
        self._waiting: list[dict[str, Any]] = []
        self._warned = self._finished = self._crowded = False
        run.define_metric("global_step")
        run.define_metric("*", step_metric="global_step")

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        if self._finished:
            return
        try:
            kept = filter_excluded_keys(key_values, key_excluded, "wandb")
            values = {key: _wandb_value(value) for key, value in kept.items()}
            self._waiting.append({"global_step": step, **values})
        except Exception as error:
            self._warn(REFUSED, error)
        if self._waiting and self._has_room():
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for values in waiting:
            try:
                self.run.log(values)
            except Exception as error:
                self._warn(REFUSED, error)

    def _has_room(self) -> bool:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:  # unknown free space
            return True
        if free < ROOM and not self._crowded:
            _logger.warning("W&B waits: its disk has %d MiB left, less than %d", free >> 20, ROOM >> 20)
        self._crowded = free < ROOM
        return not self._crowded

    def finish(self, exit_code: int | None = None) -> None:
        """End the run; further calls do nothing.

        Args:
            exit_code: 0 for success. If None, the run is marked failed when this is called while an exception
                passes, as in a `finally` clause.
        """
        if self._finished:
            return
        self._finished = True
        if exit_code is None:
            exit_code = int(sys.exc_info()[0] is not None)
        if self._waiting and not self._has_room():
            _logger.warning("W&B gets its last %d logs without that room, and may lose them", len(self._waiting))
        self._send()
        try:
            self.run.finish(exit_code=exit_code)
        except Exception as error:
            self._warn("W&B could not finish its run", error)
        if self._warned:
            _let_go()

    def close(self) -> None:
        """End the run; SB3's logger calls this when it is closed."""
        self.finish()

    def _warn(self, what: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("%s: %s", what, _first_line(error))


def start_wandb(
    mode: str, run: RunFolder, config: Mapping[str, Any], project: str, resumed: bool = False
) -> WandbWriter | None:
    """Start a W&B run with files in the run folder; failures cause one warning and do not stop the training.

    Args:
        mode: "online", "offline", "disabled", or "auto": by WANDB_MODE, else online if an API key is set up.
        run: Run folder; the W&B run has its name.
        config: All settings as parsed by the program, authoritative also in a sweep.
        project: W&B project.
        resumed: Whether the run is resumed: then the W&B run of the same id is, too.

    Returns:
        A writer for `make_logger`, or None if disabled or if W&B does not work at all.

    Raises:
        ConfigError: No such mode.
    """
    if mode not in WANDB_MODES:
        raise ConfigError(f"wandb mode must be one of {', '.join(WANDB_MODES)}, got {mode!r}")
    if mode == "auto" and os.environ.get("WANDB_MODE") in WANDB_MODES:
        mode = os.environ["WANDB_MODE"]
    if mode == "disabled":
        return None
    try:
        import wandb  # a second of import time, and disabled runs need none of it

        # silent from here on: its output would break a progress bar
        wandb.setup(settings=wandb.Settings(silent=True))
        if mode != "offline":
            mode, problem = _reachable_mode(wandb, mode)
            if not problem and mode == "online":
                try:
                    return _init_wandb(wandb, mode, run, config, project, resumed)
                except Exception as error:
                    problem = _first_line(error)
                    wandb.teardown()  # the service that could not reach the server still holds the run's id
            if problem:
                _logger.warning("W&B is offline, `wandb sync` can upload the run later: %s", problem)
        return _init_wandb(wandb, "offline", run, config, project, resumed)
    except Exception as error:
        _logger.warning("W&B does not work, the run folder has everything: %s", _first_line(error))
        return None


def _let_go() -> None:
    """Disconnect from a possibly dead service, which would cause many lines of errors at exit."""
    with contextlib.suppress(Exception):
        import wandb

        wandb.teardown()


def _reachable_mode(wandb: Any, mode: str) -> tuple[str, str]:
    """Return the mode that the API key allows, and a problem; without network access or prompts."""
    try:
        if "prompt" in inspect.signature(wandb.login).parameters:
            has_key = wandb.login(prompt=False, verify=False)
        else:
            has_key = bool(wandb.api.api_key)  # an older wandb
    except Exception as error:
        return "offline", _first_line(error)
    if has_key:
        return "online", ""
    return "offline", "no API key is set up; run `wandb login`" if mode == "online" else ""


def _init_wandb(
    wandb: Any, mode: str, run: RunFolder, config: Mapping[str, Any], project: str, resumed: bool
) -> WandbWriter:
    options: dict[str, Any] = {"silent": True, "console": "off"}
    if "WANDB_INIT_TIMEOUT" not in os.environ:
        options["init_timeout"] = ONLINE_TIMEOUT
    if "finish_timeout" in wandb.Settings.model_fields:  # newer than the oldest wandb that we support
        options["finish_timeout"] = FINISH_TIMEOUT
    wandb_run = wandb.init(
        mode=mode,
        dir=str(run.path),
        project=project,
        name=run.path.name,
        id=run.wandb_id,
        resume="allow" if resumed and mode == "online" else None,  # offline, `wandb sync` joins runs of the same id
        settings=wandb.Settings(**options),
    )
    wandb_run.config.update(dict(config), allow_val_change=True)
    if "WANDB_SWEEP_ID" in os.environ:  # `update` silently skips what a sweep has set, even where a later flag won
        wandb_run.config.update_locked(dict(config), "flags", _allow_val_change=True)
    return WandbWriter(wandb_run, run.path)


def _wandb_value(value: Any) -> Any:
    if isinstance(value, Figure | Image | Table | np.ndarray | torch.Tensor):
        import wandb

        if isinstance(value, Table):
            return wandb.Table(columns=list(value.head), data=[list(row) for row in value.rows])
        if isinstance(value, Image):
            return wandb.Image(value.image)
        if isinstance(value, Figure):
            return wandb.Image(value.figure)
        array: Any = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        return wandb.Histogram(array) if array.ndim else array.item()
    return value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
