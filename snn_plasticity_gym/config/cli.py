"""Command line flags of a trainer and of its environment, generated from their configuration classes.

Every setting is a flag of the same name; dashes and underscores are the same. These all work:

    --learning_rate=1e-3   --learning-rate 1e-3   --flag   --no-flag   --flag=False   --flag False

A W&B sweep agent sends `--learning_rate=0.001 --flag=True`. argparse is the surface; `schema` reads and checks values.

`--preset NAME` reads a YAML file of settings first, one of trainers/presets/ or any other: they become the defaults.
`--plugin MODULE` imports a user's module before anything is looked up by name.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from snn_plasticity_gym.config.parser import REPEATED, Parser, describe, first_line, flag_parser, is_bool
from snn_plasticity_gym.config.plugins import import_plugins, plugin_names
from snn_plasticity_gym.config.presets import check_name, read_preset, shipped_file
from snn_plasticity_gym.config.resuming import read_run
from snn_plasticity_gym.config.schema import (
    ConfigError,
    SettingInfo,
    build_configs,
    current_names,
    nearest,
    setting_fields,
    unknown,
)

Config = TypeVar("Config")
TrainerConfig = TypeVar("TrainerConfig")


def parse_configs(
    trainer_type: type[TrainerConfig],
    environment_types: Mapping[str, type],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    foreign: Sequence[type] = (),
) -> tuple[Any, ...]:
    """Parse the flags of a trainer and of the environment selected by `--env`.

    A mistake ends the program with code 2 and one line on stderr; `--help` shows the flags and ends it with code 0.
    With `--resume RUN` the settings of that run hold, and flags that contradict them are refused.
    If the trainer has a setting `preset`, the values of the file it names are the defaults; `--help` shows them.

    Args:
        trainer_type: Configuration class with a setting `env`, the id of an environment.
        environment_types: Configuration class of each environment, by id.
        argv: Arguments after the program's name; those of this process if None.
        prog: Name of the program in help and errors.
        foreign: Configuration classes of other programs, whose settings in presets are ignored.

    Returns:
        The trainer's and the environment's configuration.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    trainer_infos = {info.name: info for info in setting_fields(trainer_type)}
    assert "env" in trainer_infos, f"{trainer_type.__name__} needs a setting 'env'"
    env_id, preset = _choices(_normalise(argv, trainer_infos)[0], trainer_type, environment_types, foreign, prog)
    for other, environment_type in environment_types.items():
        clash = trainer_infos.keys() & {info.name for info in setting_fields(environment_type)}
        assert not clash, f"{trainer_type.__name__} and the settings of {other} share names: {sorted(clash)}"

    everything = [*trainer_infos.values(), *(i for t in environment_types.values() for i in setting_fields(t))]
    tokens = _present(argv, everything, prog)
    types = (trainer_type, environment_types[env_id])
    before = build_configs(preset, *types)
    start = {name: value for config in before for name, value in vars(config).items()}

    infos = [dataclasses.replace(info, default=start[info.name]) for t in types for info in setting_fields(t)]
    parser = flag_parser(infos, prog, lambda: describe(trainer_type, environment_types, env_id, foreign))
    flags = _read(parser, tokens, lambda token: _stray(token, infos, environment_types, env_id))
    configs = parser.build(preset | flags | {"env": env_id}, *types)
    if flags.get("resume"):
        parser.refuse_changes(before, configs)
    return configs


def parse_config(config_type: type[Config], argv: Sequence[str] | None = None, *, prog: str | None = None) -> Config:
    """Parse the flags of a program without environment; otherwise as `parse_configs`, but help shows no preset.

    Args:
        config_type: Configuration class.
        argv: Arguments after the program's name; those of this process if None.
        prog: Name of the program in help and errors.
    """
    infos = setting_fields(config_type)
    tail = "Dashes and underscores are the same; --no-NAME turns NAME off."
    parser = flag_parser(infos, prog, lambda: f"{first_line(config_type)}\n\n{tail}")
    tokens = _present(list(sys.argv[1:] if argv is None else argv), infos, prog)
    flags = _read(parser, tokens, lambda token: _stray(token, infos, {}, ""))
    plugins = plugin_names(flags.get(REPEATED))
    try:
        import_plugins(plugins)
        start = _start(flags, config_type, plugins)
    except ConfigError as error:
        parser.error(str(error))
    (config,) = parser.build(start | flags, config_type)
    if flags.get("resume"):
        parser.refuse_changes(build_configs(start, config_type), (config,), longer=False)
    return cast(Config, config)


def _start(flags: Mapping[str, Any], config_type: type, plugins: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the run to resume, or of the preset, for a program without environment."""
    if flags.get("resume") and flags.get("preset"):
        raise ConfigError(f"--resume uses the run's own settings, so --preset={flags['preset']} cannot be given")
    if flags.get("resume"):
        return read_run(flags["resume"], config_type, {}, plugins)
    if flags.get("preset"):
        return read_preset(shipped_file("preset", flags["preset"]), None, config_type, {}, (), plugins)
    return {}


def _read(parser: Parser, argv: Sequence[str], stray: Callable[[str], str]) -> dict[str, Any]:
    """Return the flags given, by name; an unknown argument ends the program with the message of `stray`."""
    namespace, rest = parser.parse_known_args(argv)
    if rest:
        flags = [token for token in rest if token.startswith("-")] or rest  # not also the value of an unknown flag
        parser.error("; ".join(map(stray, flags)))
    values = vars(namespace)
    return values | ({REPEATED: ",".join(values[REPEATED])} if REPEATED in values else {})


def _present(argv: Sequence[str], infos: Sequence[SettingInfo], prog: str | None) -> list[str]:
    """Normalise flags by `_normalise`, and warn of old names; a flag under two names ends the program."""
    tokens, given = _normalise(argv, {info.name: info for info in infos})
    try:
        current_names(given, infos)
    except ConfigError as error:
        Parser(prog=prog, add_help=False).error(str(error))
    return tokens


def _normalise(argv: Sequence[str], infos: Mapping[str, SettingInfo]) -> tuple[list[str], dict[str, str]]:
    """Convert every known flag to `--name=value` or `--name`, with underscores and its present name.

    Returns:
        These arguments, and the flags that are known, by the names under which they were given.

    Joining a value to its flag lets values begin with a minus: argparse takes `-1e-3` for a flag.
    """
    new_names = {old: info.name for info in infos.values() for old in info.was if old not in infos}
    tokens: list[str] = []
    given: dict[str, str] = {}
    indices = iter(range(len(argv)))
    for index in indices:
        flag, equals, value = argv[index].partition("=")
        name = flag[2:].replace("-", "_")
        off = name.startswith("no_") and name not in infos and name not in new_names
        given_name = name[3:] if off else name
        present = new_names.get(given_name, given_name)
        if not flag.startswith("--") or present not in infos or (off and (equals or not is_bool(infos[present]))):
            tokens.append(argv[index])
            continue
        given[given_name] = value
        if off:
            equals, value = "=", "False"
        elif not equals and index + 1 < len(argv) and not argv[index + 1].startswith("--"):
            equals, value = "=", argv[next(indices)]
        tokens.append(f"--{present}{equals}{value}")
    return tokens, given


def _choices(
    argv: Sequence[str],
    trainer_type: type,
    environment_types: Mapping[str, type],
    foreign: Sequence[type],
    prog: str | None,
) -> tuple[str, dict[str, Any]]:
    """Return the environment and the preset's values, which determine all other flags and their defaults."""
    parser = Parser(prog=prog, add_help=False, allow_abbrev=False)
    for name in ("env", "preset", "resume"):
        parser.add_argument(f"--{name}")
    parser.add_argument(f"--{REPEATED}", action="append")
    flags = parser.parse_known_args(argv)[0]
    preset = {}
    try:
        plugins = plugin_names(",".join(flags.plugin or ()))
        import_plugins(plugins)
        if flags.env is not None:
            check_name("environment", flags.env, environment_types)
        if flags.resume:
            preset = read_run(flags.resume, trainer_type, environment_types, plugins)
            if flags.preset or flags.env not in (None, preset["env"]):
                other = f"--preset={flags.preset}" if flags.preset else f"--env={flags.env}"
                raise ConfigError(f"--resume uses the run's own settings, so {other} cannot be given, too")
        elif flags.preset:
            path = shipped_file("preset", flags.preset)
            preset = read_preset(path, flags.env, trainer_type, environment_types, foreign, plugins)
    except ConfigError as error:
        parser.error(str(error))
    (default,) = (info.default for info in setting_fields(trainer_type) if info.name == "env")
    return flags.env or preset.get("env", default), preset


def _stray(token: str, infos: Sequence[SettingInfo], environment_types: Mapping[str, type], env_id: str) -> str:
    """Return the error message for an unknown argument."""
    flag = token.partition("=")[0]
    if not flag.startswith("-"):
        return f"unexpected argument {token!r}; settings are given as --name=value"
    name = flag.lstrip("-").replace("-", "_")
    owners = [owner for owner, t in environment_types.items() if name in {info.name for info in setting_fields(t)}]
    if owners:
        return f"{flag} is a flag of {', '.join(owners)}, not of {env_id}"
    flags = [f"--{info.name}" for info in infos]
    if name.startswith("no_"):
        if any(info.name == name[3:] and is_bool(info) for info in infos):
            return f"{flag} takes no value"
        flags += [f"--no_{info.name}" for info in infos if is_bool(info)]
    if nearest(f"--{name}", flags) is None:
        return f"unknown flag {flag!r}; --help lists the flags"  # a list of all would be too long
    return unknown("flag", flag, flags)


__all__ = ["parse_config", "parse_configs"]
