"""Run folders: the output of a training, and its logger.

A run folder `runs/<env>/<name>/` is self-contained: settings (config.yaml), conditions (manifest.json), metrics
(metrics.csv) and results (checkpoints/, rule.safetensors and rule.json, final.zip). Figures are made from run folders.
W&B (`wandb_writer`) gets the same numbers in addition.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger, TensorBoardOutputFormat

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.utils.files import atomic_path, make_unique_folder

LOCK = ".lock"  # of the process working on a run
PACKAGES = ("snn-plasticity-gym", "torch", "gymnasium", "stable-baselines3", "numpy", "wandb")


class RunFolder:
    """The folder of one run and the paths in it; `create` makes a new one."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_yaml = self.path / "config.yaml"
        self.manifest_json = self.path / "manifest.json"
        self.metrics_csv = self.path / "metrics.csv"
        self.checkpoints = self.path / "checkpoints"
        self.final = self.path / "final.zip"

    @classmethod
    def create(
        cls,
        env: str,
        config: Mapping[str, Any],
        *,
        seed: int,
        name: str = "",
        root: str | Path = "runs",
        dataset: Mapping[str, Any] | None = None,
        command: Sequence[str] | None = None,
    ) -> RunFolder:
        """Make the folder `root/env/name` with settings and manifest of the run.

        Args:
            env: Environment id.
            config: All settings, flat and of plain types (`schema.to_dict`).
            seed: Seed of the run, drawn or given.
            name: Name of the run; empty for time and seed, made unique.
            root: Folder of all runs.
            dataset: Name, checksum and directory of the data, for the manifest.
            command: Command line; that of this process if None.

        Raises:
            ConfigError: The folder is not empty, its name is no folder name, or it cannot be written.
        """
        if name and (name in (".", "..") or Path(name).name != name or not name.isprintable()):
            raise ConfigError(f"the name of a run must be a plain folder name, got {name!r}")
        path = Path(root) / env.rpartition(":")[2] / (name or f"{datetime.now():%Y%m%d-%H%M%S}-seed{seed}")
        try:
            path = _make_given_folder(path) if name else make_unique_folder(path)
            run = cls(path)
            run.checkpoints.mkdir()
            run.write(run.config_yaml, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
            manifest = _manifest(seed, dataset, sys.argv if command is None else command)
            run.write(run.manifest_json, json.dumps(manifest, indent=2, default=str) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write the run folder {path}: {error.strerror or error}") from error
        return run

    @classmethod
    def reopen(cls, path: str | Path, config: Mapping[str, Any]) -> RunFolder:
        """Open the folder of a resumed run, and write its settings.

        Raises:
            ConfigError: It is no run folder, or it cannot be written.
        """
        run = cls(path)
        if not run.manifest_json.is_file():
            raise ConfigError(f"no run at {path}; give a run's folder, which has a manifest.json")
        try:
            run.write(run.config_yaml, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        except OSError as error:
            raise ConfigError(f"cannot write the run folder {path}: {error.strerror or error}") from error
        return run

    @property
    def wandb_id(self) -> str:
        """Id of the run on W&B, the same for all resumptions."""
        return str(json.loads(self.manifest_json.read_text(encoding="utf-8"))["wandb_id"])

    def write(self, path: Path, text: str) -> None:
        """Write a text file atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def claimed(path: str | Path) -> Iterator[None]:
    """Lock the folder of a run against other processes, which would overwrite its files, within the block.

    The lock ends with the process. On a disk without locks, nothing is locked.

    Raises:
        ConfigError: Another process has it.
    """
    lock = FileLock(Path(path) / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"another process is at work on the run {path}; wait until it ends, or stop it") from None
    except (OSError, NotImplementedError):  # write errors are reported at writing
        yield
        return
    try:
        yield
    finally:
        lock.release()


def make_logger(run: RunFolder, *writers: KVWriter | None, verbose: int = 0) -> Logger:
    """Return SB3's logger for a run.

    Args:
        run: Run folder.
        writers: `MetricsCSV`, W&B, TensorBoard; None is left out.
        verbose: Whether to print a table on stdout, too.
    """
    formats = [writer for writer in writers if writer is not None]
    if verbose:
        formats.append(HumanOutputFormat(sys.stdout))
    return Logger(str(run.path), formats)


def tensorboard_writer(run: RunFolder, requested: bool) -> KVWriter | None:
    """Return the writer of TensorBoard's files into a run's folder; None if not requested."""
    return _TensorBoard(str(run.path / "tensorboard")) if requested else None


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's writer, with tables as text in Markdown."""

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        values = {key: value.markdown() if isinstance(value, Table) else value for key, value in key_values.items()}
        super().write(values, key_excluded, step)


def require_tensorboard(requested: bool) -> None:
    """Check that TensorBoard is installed if requested.

    Raises:
        ConfigError: It is not.
    """
    if requested and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("tensorboard is not installed; pip install tensorboard, or leave --tensorboard out")


def _make_given_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise ConfigError(f"the run folder {path} is not empty; choose another name or remove it")
    return path


def _manifest(seed: int, dataset: Mapping[str, Any] | None, command: Sequence[str]) -> dict[str, Any]:
    """Return the conditions of a run, without environment variables, which may hold keys."""
    return {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(command),
        "seed": seed,
        "wandb_id": uuid.uuid4().hex[:8],
        "dataset": None if dataset is None else dict(dataset),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "packages": package_versions(),
        "git": _git_state(Path(__file__).resolve().parents[1]),
    }


def package_versions() -> dict[str, str | None]:
    """Return the versions of the packages that affect a run's results."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state(root: Path) -> dict[str, Any] | None:
    """Return the commit of the project, and whether files differ from it; None if `root` is no checkout."""
    if not (root / ".git").exists():  # `git` itself would also find an unrelated repository further up
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # parallel runs must not lock the index
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=environment)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
