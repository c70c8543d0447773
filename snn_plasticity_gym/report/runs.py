"""Run folders read for a report: settings, versions, and all logged metrics."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS, EnvironmentConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.plugins import import_plugins, plugin_names
from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, current_names, own_values, setting_fields
from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.runs.metrics import read_metrics
from snn_plasticity_gym.tasks.met_observations import with_ranges_of

Array = NDArray[np.float64]

OF_A_RUN = {
    *("seed", "run_dir", "run_name", "preset", "resume", "progress", "checkpoint_every"),
    *("plugin", "wandb", "wandb_project", "tensorboard", "report", "threads", "data_dir"),
}
"""Settings in which runs may differ and still be repetitions of one training."""
EPISODES, STEPS = "time/episodes", "time/steps"


class Run(NamedTuple):
    """One run folder."""

    path: Path
    label: str  # the folder's name, with enough of its path to be unique
    config: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Array]  # each (rows,), NaN where a row has no such value

    @property
    def env(self) -> str | None:
        """The environment's id; None for a run without one, such as BPTT's."""
        return self.config.get("env")

    @property
    def rule_file(self) -> Path | None:
        """The learned rule; None for a run that was cut short, or that has learned none."""
        file = RunFolder(self.path).final
        return file if file.is_file() else None

    @property
    def num_classes(self) -> int:
        """Number of classes of its images; ten where an early manifest lacks the number."""
        return len((self.manifest.get("dataset") or {}).get("classes", ())) or 10

    def environment(self) -> EnvironmentConfig:
        """Return the settings of the environment, for networks on the CPU.

        Raises:
            ConfigError: The run has no environment of this version, or a setting is out of range.
        """
        if self.env not in ENVIRONMENTS:
            raise ConfigError(f"{self.path} was trained on {self.env}, which is no environment here")
        kind = ENVIRONMENTS[self.env]
        return with_ranges_of(kind(**own_values(kind, self.config) | {"device": "cpu"}), self.path)

    @property
    def counted(self) -> str:
        """Column that measures the run's length: episodes, or steps for a learner that updates within episodes."""
        return STEPS if EPISODES not in self.metrics and STEPS in self.metrics else EPISODES

    def curve(self, name: str) -> tuple[Array, Array]:
        """Return a logged number against `counted`: rows that have both, (rows,) each; empty if there are none."""
        if not {name, self.counted} <= self.metrics.keys():
            return np.empty(0), np.empty(0)
        values, counts = self.metrics[name], self.metrics[self.counted]
        there = np.isfinite(values) & np.isfinite(counts)
        return counts[there], values[there]

    def last(self, name: str) -> float | None:
        """Return the last value of a logged number; None if there is none."""
        values = self.metrics.get(name, np.empty(0))
        there = values[np.isfinite(values)]
        return float(there[-1]) if len(there) else None


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read run folders.

    Raises:
        ConfigError: A folder is no run folder, is given twice, or a file in it is damaged.
    """
    folders = [Path(path) for path in paths]
    twice = [str(path) for path, count in Counter(path.resolve() for path in folders).items() if count > 1]
    if twice:
        raise ConfigError(f"the run {twice[0]} is named twice; name each run once")
    return [_read(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]


def _labels(folders: Sequence[Path]) -> list[str]:
    """Return the shortest unique ends of the paths."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(some[-depth:]) for some in parts]
        if len(set(labels)) == len(labels):
            break
    return labels


def _read(folder: Path, label: str) -> Run:
    files = RunFolder(folder)
    try:
        config = yaml.safe_load(files.config_yaml.read_text(encoding="utf-8"))
        manifest = json.loads(files.manifest_json.read_text(encoding="utf-8"))
        _, rows = read_metrics(files.metrics_csv)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{folder} is no run folder: it has no {Path(error.filename).name}") from error
    except (OSError, UnicodeError, ValueError, csv.Error, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{folder} is damaged: {reason}") from error
    if not isinstance(config, dict) or not isinstance(manifest, dict):
        raise ConfigError(f"{folder} is damaged: config.yaml and manifest.json must hold settings by name")
    import_plugins(plugin_names(config.get("plugin")), named_by=str(files.config_yaml))
    config = current_names(config, _settings(config), f"{files.config_yaml}: ")
    names = [name for name in (rows[0] if rows else {}) if name is not None]
    metrics = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
    return Run(folder, label, config, manifest, metrics)


def _settings(config: Mapping[str, Any]) -> list[SettingInfo]:
    """Return the settings that a run with this config.yaml may have."""
    environment = ENVIRONMENTS.get(str(config.get("env")))
    return [
        info
        for kind in (*TRAINERS, EvolveConfig, SVPGSearchConfig, PlasticConfig, BPTTConfig, environment)
        if kind is not None
        for info in setting_fields(kind)
    ]


def _number(text: str | None) -> float:
    """Return a cell's number; NaN for an empty one, or one that a killed run has cut short."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


class Group(NamedTuple):
    """Runs that differ in their seeds only."""

    label: str
    runs: list[Run]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Put runs of equal settings together; seeds, names and the like may differ."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(settings_of(run), sort_keys=True, default=str), []).append(run)
    return [Group(_group_label(members), members) for members in groups.values()]


def settings_of(run: Run) -> dict[str, Any]:
    """Return the settings that define a training, and the folder's kind."""
    kept = {name: value for name, value in run.config.items() if name not in OF_A_RUN}
    return {"env": run.path.resolve().parent.name, **kept}


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ, with the value in each run."""
    every = [run.config for run in runs]
    names = dict.fromkeys(name for config in every for name in config)
    values = {name: [config.get(name) for config in every] for name in names}
    return {name: row for name, row in values.items() if any(value != row[0] for value in row)}


def _group_label(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return runs[0].label
    return f"{runs[0].label} and {len(runs) - 1} more seed{'s' if len(runs) > 2 else ''}"


def mean_curve(curves: Sequence[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return abscissae, mean and sample standard deviation of curves, where all of them have values.

    Curves are read at the abscissae of the first one, with straight lines between their points. The standard
    deviation of a single curve is NaN.

    Args:
        curves: Ascending abscissae and values of each.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.empty(0), np.empty(0), np.empty(0)
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    x = curves[0][0][(curves[0][0] >= low) & (curves[0][0] <= high)]
    values = np.stack([np.interp(x, *curve) for curve in curves])  # (runs, points)
    spread = values.std(axis=0, ddof=1) if len(curves) > 1 else np.full(len(x), math.nan)
    return x, values.mean(axis=0), spread


def outcome_rows(run: Run) -> list[tuple[str, float | None, float | None]]:
    """Return the evaluations before and after training: name, value before, value after."""
    return [
        (name, run.last(f"eval_before/{name}"), run.last(f"eval_after/{name}"))
        for name in dict.fromkeys(key.partition("/")[2] for key in run.metrics if key.startswith("eval_"))
        if name != "images"
    ]


def flat(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as names and texts for a table."""
    return [(name, "" if value is None else str(value)) for name, value in settings.items()]
