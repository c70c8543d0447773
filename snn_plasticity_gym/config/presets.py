"""Presets: YAML files of settings, given as `--preset NAME`; flags override them.

A preset has lines `name: value` after a comment on its purpose. With `base:`, the name of another preset or a YAML
file's path relative to its folder, it inherits all settings of that one, and holds only differences. It may have any
setting of the program and of its environment, if it has one, and nothing else; but trainers and evaluate.py ignore
each other's settings and use those of the environment. The config.yaml of a run is a preset, too: it repeats the run.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_plasticity_gym.config.plugins import import_plugins, plugin_names
from snn_plasticity_gym.config.resuming import ADDED
from snn_plasticity_gym.config.schema import (
    ConfigError,
    build_configs,
    current_names,
    nearest,
    read_yaml,
    setting_fields,
    unknown,
)


def shipped_file(kind: str, name: str) -> Path:
    """Return the file of a name: a path if it looks like one, else a file of the folder trainers/<kind>s.

    Args:
        kind: "preset" or "sweep".
        name: E.g. "unsup1", "mine.yaml" or "folder/mine.yaml".

    Raises:
        ConfigError: There is no such name; the line lists the valid ones.
    """
    path = Path(os.path.expanduser(name))
    if path.suffix in (".yaml", ".yml") or path.name != name:
        return path
    files = {path.stem: path for path in shipped_files(kind)}
    check_name(kind, name, files, "or the path of a YAML file")
    return files[name]


def shipped_files(kind: str) -> list[Path]:
    """Return the YAML files of the folder trainers/<kind>s, as installed."""
    package = importlib.resources.files("snn_plasticity_gym.trainers")
    return sorted(Path(str(package), f"{kind}s").glob("*.yaml"), key=lambda path: path.stem)


def shipped_presets(
    trainer_type: type, environment_types: Mapping[str, type], foreign: Sequence[type] = ()
) -> list[Path]:
    """Return the shipped presets for a program; arguments as in `read_preset`."""
    return [path for path in shipped_files("preset") if _is_taken(path, trainer_type, environment_types, foreign)]


def _is_taken(path: Path, *program: Any) -> bool:
    try:
        read_preset(path, None, *program)
    except ConfigError:
        return False
    return True


def purpose(path: Path) -> str:
    """Return the comment in a file's first line."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def check_name(kind: str, name: object, names: Iterable[str], *other: str) -> None:
    """Check that a name is one of `names`; the error lists them and `other`.

    Raises:
        ConfigError: It is none of them.
    """
    names = list(names)
    if name not in names:
        near = nearest(name, names)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"unknown {kind} {name!r}; valid: {', '.join([*names, *other])}{hint}")


def read_preset(
    path: Path,
    env_id: str | None,
    trainer_type: type,
    environment_types: Mapping[str, type],
    foreign: Sequence[type] = (),
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """Read a preset, and check that each setting is one of the trainer or the environment, with a valid value.

    Args:
        path: YAML file.
        env_id: Environment given by a flag, if any: it overrides the one in the file.
        trainer_type: Configuration class, with a setting `env` if there are environments.
        environment_types: Configuration class of each environment, by id; none if the program has no environment.
        foreign: Configuration classes of other programs: of a file with settings that only they have, all their
            settings are left aside, and only those of the environment count.
        plugins: Replace those of the preset.

    Raises:
        ConfigError: The file cannot be read, or a setting in it is wrong; one line that names the file.
    """
    preset = _with_bases(path, trainer_type, *environment_types.values(), *foreign)
    if not plugins:
        import_plugins(plugin_names(preset.get("plugin")), named_by=str(path))
    trainer_infos = {info.name: info for info in setting_fields(trainer_type)}
    types = [trainer_type]
    if environment_types:
        if "env" in preset:
            check_name(f"environment in {path}:", preset["env"], environment_types)
        env_id = env_id or preset.get("env") or str(trainer_infos["env"].default)
        types.append(environment_types[env_id])
    names = [info.name for config_type in types for info in setting_fields(config_type)]
    elsewhere = {info.name for other in foreign for info in setting_fields(other)}
    if (elsewhere - set(names)) & preset.keys():  # of another program: its seed and the like do not apply here
        kept = {"env", "plugin", *(info.name for config_type in types[1:] for info in setting_fields(config_type))}
        preset = {key: value for key, value in preset.items() if key in kept or key not in elsewhere}
    strays = [key for key in preset if key not in names]
    problems = [_stray(key, names, environment_types, env_id) for key in strays[:1]]
    owned = {info.name for config_type in environment_types.values() for info in setting_fields(config_type)}
    if not owned.issuperset(strays) and path in shipped_files("preset"):  # not misspelled
        raise ConfigError(
            f"preset {path.stem} is for another program ({purpose(path).rstrip('.')}), as there is no setting "
            f"{min(set(strays) - owned)!r} here; --help names the presets of this one"
        )
    if len(strays) > 1:
        problems.append(f"as wrong: {', '.join(strays[1:4])}{', ...' if len(strays) > 4 else ''}")
    complete = preset.keys() | ADDED.keys() >= set(names)  # as a run's config.yaml is, whatever its preset
    if "preset" in preset and not complete:
        problems.append("a preset starts from another one by `base: NAME`, not by preset")
    try:
        valid = {key: value for key, value in preset.items() if key in names}
        build_configs(valid, *types)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    return preset


def _with_bases(path: Path, *config_types: type) -> dict[str, Any]:
    """Return the settings of a preset merged over those of its bases, by their present names."""
    infos = [info for config_type in config_types for info in setting_fields(config_type)]
    files, layers = [path], [current_names(read_yaml(path), infos, f"{path}: ")]
    while "base" in layers[-1]:
        file, base = files[-1], layers[-1].pop("base")
        if not isinstance(base, str) or not base:
            raise ConfigError(f"{file}: base must be the name of a preset or the path of a YAML file, got {base!r}")
        try:
            files.append(file.parent / shipped_file("preset", base))  # the path of a shipped one is absolute
            if files[-1].resolve() in [known.resolve() for known in files[:-1]]:
                way = " -> ".join(known.name for known in files)
                raise ConfigError(f"a preset cannot be its own base, got {way}")
            layers.append(current_names(read_yaml(files[-1]), infos, f"{files[-1]}: "))
        except ConfigError as error:
            raise ConfigError(f"{file}: base: {error}") from error
    return {name: value for layer in reversed(layers) for name, value in layer.items()}


def _stray(key: str, names: Iterable[str], environment_types: Mapping[str, type], env_id: str | None) -> str:
    """Return the error message for a key that is no setting."""
    owners = [owner for owner, t in environment_types.items() if key in {info.name for info in setting_fields(t)}]
    if owners:
        return f"{key} is a setting of {', '.join(owners)}, not of {env_id}"
    return unknown("setting", key, names) if nearest(key, names) else f"unknown setting {key!r}; --help lists them"


__all__ = ["check_name", "purpose", "read_preset", "shipped_file", "shipped_files", "shipped_presets"]
