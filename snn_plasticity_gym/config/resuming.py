"""`--resume RUN`: continue a run with its own settings, of which only some may change."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_plasticity_gym.config.plugins import import_plugins, plugin_names
from snn_plasticity_gym.config.schema import ConfigError, current_names, read_yaml, setting_fields, to_dict

CHANGEABLE = (
    "episodes",
    "checkpoint_every",
    "data_dir",
    "plugin",
    "progress",
    "wandb",
    "tensorboard",
    "report",
    "resume",
)

ADDED: Mapping[str, Any] = {
    "common_share": 0.1,
    "compare_with": [],
    "field_weight": 0.3,
    "hidden_fields": 0,
    "local_state": [],
    "nan_policy": "raise",
    "plugin": [],
    "show_factor": True,
    "world_attributes": "{}",
}  # settings that earlier versions lack, with the values that reproduce them


def read_run(
    folder: str | Path, trainer_type: type, environment_types: Mapping[str, type], plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """Read the settings of a run of this program, and import its plugins.

    Args:
        folder: The run's folder.
        trainer_type: Configuration class of the program.
        environment_types: Those of the environments, by id; none if the program has no environment.
        plugins: Replace those of the run, whose files may have moved.

    Raises:
        ConfigError: There is no run, or it is one of another program or version.
    """
    path = Path(os.path.expanduser(folder)) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"no run to resume at {folder}; give a run's folder, which has a config.yaml")
    settings = read_yaml(path)
    if not plugins:
        import_plugins(plugin_names(settings.get("plugin")), named_by=str(path))
    types = [trainer_type]
    if environment_types:
        env_id = str(settings.get("env"))
        if env_id not in environment_types:
            raise ConfigError(f"{path} is no configuration of a run: its env is {env_id}")
        types.append(environment_types[env_id])
    infos = [info for kind in types for info in setting_fields(kind)]
    settings = current_names(settings, infos, f"{path}: ")
    names = {info.name for info in infos}
    settings = {name: value for name, value in ADDED.items() if name in names} | settings
    odd = sorted(names ^ settings.keys())
    if odd:
        what = ", ".join(f"{'lacks' if name in names else 'has'} {name}" for name in odd[:3])
        raise ConfigError(f"{path} is of another program or version: it {what}{', ...' if len(odd) > 3 else ''}")
    return settings


def refuse_changes(before: Sequence[Any], after: Sequence[Any], longer: bool = True) -> None:
    """Check that settings agree with those of the resumed run.

    Args:
        before: Configurations of the run.
        after: Configurations from the flags.
        longer: Whether more episodes may be requested.

    Raises:
        ConfigError: A setting differs that must not change.
    """
    old = {name: value for config in before for name, value in to_dict(config).items()}
    new = {name: value for config in after for name, value in to_dict(config).items()}
    changeable = [name for name in CHANGEABLE if name in old and (longer or name != "episodes")]
    changed = [name for name in old if new[name] != old[name] and name not in changeable]
    if changed:
        what = "; ".join(f"{name} is {old[name]!r} in the run, got {new[name]!r}" for name in changed)
        allowed = ", ".join(name for name in changeable if name != "resume")
        raise ConfigError(f"--resume uses the run's own settings: {what}; only {allowed} may change")
    least, requested = old["episodes"], new["episodes"]
    if requested < least:
        raise ConfigError(f"episodes must be at least the {least} of the run to resume, got {requested}")
