"""Command line flags of a trainer and of the environment it trains on, made from their configuration classes.

Every setting is a flag of its own name; dashes and underscores are the same. These all work:

    --learning_rate=1e-3   --learning-rate 1e-3   --flag   --no-flag   --flag=False   --flag False

A W&B sweep agent sends `--learning_rate=0.001 --flag=True`. argparse is the surface; `schema` reads and checks values.

`--preset NAME` reads a YAML file of settings first, one of trainers/presets/ or any other: they become the defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, cast

from snn_plasticity_gym.config.launch import let_first_speak
from snn_plasticity_gym.config.presets import check_name, purpose, read_preset, shipped_file, shipped_files
from snn_plasticity_gym.config.resuming import read_run, refuse_changes
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

_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT"}


def parse_configs(
    trainer_type: type[TrainerConfig],
    environment_types: Mapping[str, type],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    foreign: Sequence[type] = (),
) -> tuple[Any, ...]:
    """Read the flags of a trainer and of the environment that `--env` chooses.

    A mistake ends the program with code 2 and one line on stderr; `--help` shows the flags and ends it with code 0.
    With `--resume RUN` the settings of that run hold, and flags that contradict them are refused.
    If the trainer has a setting `preset`, the values of the file it names are the defaults; `--help` shows them.

    Args:
        trainer_type: Configuration class with a setting `env`, the id of an environment.
        environment_types: Configuration class of each environment, by id.
        argv: Arguments after the program's name; those of this process if None.
        prog: Name of the program in help and errors.
        foreign: Configuration classes of other programs: what presets say of their settings is left aside.

    Returns:
        The trainer's and the environment's configuration.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    trainer_infos = {info.name: info for info in setting_fields(trainer_type)}
    assert "env" in trainer_infos, f"{trainer_type.__name__} needs a setting 'env'"
    for env_id, environment_type in environment_types.items():
        clash = trainer_infos.keys() & {info.name for info in setting_fields(environment_type)}
        assert not clash, f"{trainer_type.__name__} and the settings of {env_id} share names: {sorted(clash)}"

    everything = [*trainer_infos.values(), *(i for t in environment_types.values() for i in setting_fields(t))]
    argv = _normalise(argv, {info.name: info for info in everything}, prog)
    env_id, preset = _choices(argv, trainer_type, environment_types, foreign, prog)
    types = (trainer_type, environment_types[env_id])
    before = build_configs(preset, *types)
    start = {name: value for config in before for name, value in vars(config).items()}

    infos = [dataclasses.replace(info, default=start[info.name]) for t in types for info in setting_fields(t)]
    parser = _parser(infos, prog, _description(trainer_type, environment_types, env_id))
    flags = _read(parser, argv, lambda token: _stray(token, infos, environment_types, env_id))
    configs = parser.build(preset | flags | {"env": env_id}, *types)
    if flags.get("resume"):
        parser.refuse_changes(before, configs)
    return configs


def parse_config(config_type: type[Config], argv: Sequence[str] | None = None, *, prog: str | None = None) -> Config:
    """Read the flags of a program that has no environment; otherwise as `parse_configs`, but for presets.

    Args:
        config_type: Configuration class.
        argv: Arguments after the program's name; those of this process if None.
        prog: Name of the program in help and errors.
    """
    infos = setting_fields(config_type)
    summary = (inspect.getdoc(config_type) or "").partition("\n")[0]
    parser = _parser(infos, prog, f"{summary}\n\nDashes and underscores are the same; --no-NAME turns NAME off.")
    argv = _normalise(list(sys.argv[1:] if argv is None else argv), {info.name: info for info in infos}, prog)
    flags = _read(parser, argv, lambda token: _stray(token, infos, {}, ""))
    if not flags.get("resume"):
        return cast(Config, parser.build(flags, config_type)[0])
    try:
        start = read_run(flags["resume"], config_type, {})
    except ConfigError as error:
        parser.error(str(error))
    (config,) = parser.build(start | flags, config_type)
    parser.refuse_changes(build_configs(start, config_type), (config,), longer=False)
    return cast(Config, config)


def _read(parser: _Parser, argv: Sequence[str], stray: Callable[[str], str]) -> dict[str, Any]:
    """The flags given, by name; an argument that is none ends the program with what `stray` says of it."""
    namespace, rest = parser.parse_known_args(argv)
    if rest:
        flags = [token for token in rest if token.startswith("-")] or rest  # not also the value of an unknown flag
        parser.error("; ".join(map(stray, flags)))
    return vars(namespace)


class _Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake in one line: the list of all flags would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {let_first_speak()}{message}\n")

    def build(self, values: Mapping[str, Any], *types: type) -> tuple[Any, ...]:
        """Build the configurations, or end the program with what is wrong with the values."""
        try:
            return build_configs(values, *types)
        except ConfigError as error:
            self.error(str(error))

    def refuse_changes(self, before: Sequence[Any], after: Sequence[Any], longer: bool = True) -> None:
        """End the program if settings contradict those of the run that goes on."""
        try:
            refuse_changes(before, after, longer)
        except ConfigError as error:
            self.error(str(error))


def _normalise(argv: Sequence[str], infos: Mapping[str, SettingInfo], prog: str | None) -> list[str]:
    """Write every known flag as argparse wants it: `--name=value` or `--name`, with underscores and its present name.

    Joining a value to its flag lets values begin with a minus: argparse takes `-1e-3` for a flag.
    """
    new_names = {old: info.name for info in infos.values() for old in info.was if old not in infos}
    tokens, given = [], {}
    indices = iter(range(len(argv)))
    for index in indices:
        flag, equals, value = argv[index].partition("=")
        name = flag[2:].replace("-", "_")
        off = name.startswith("no_") and name not in infos and name not in new_names
        asked = name[3:] if off else name
        present = new_names.get(asked, asked)
        if not flag.startswith("--") or present not in infos or (off and (equals or not _is_bool(infos[present]))):
            tokens.append(argv[index])
            continue
        given[asked] = value
        if off:
            equals, value = "=", "False"
        elif not equals and index + 1 < len(argv) and not argv[index + 1].startswith("--"):
            equals, value = "=", argv[next(indices)]
        tokens.append(f"--{present}{equals}{value}")
    try:
        current_names(given, infos.values())
    except ConfigError as error:
        _Parser(prog=prog, add_help=False).error(str(error))
    return tokens


def _is_bool(info: SettingInfo | None) -> bool:
    return info is not None and info.kind is bool


def _choices(
    argv: Sequence[str],
    trainer_type: type,
    environment_types: Mapping[str, type],
    foreign: Sequence[type],
    prog: str | None,
) -> tuple[str, dict[str, Any]]:
    """The environment and the preset's values: they decide what other flags there are, and their defaults."""
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False)
    parser.add_argument("--env")
    parser.add_argument("--preset")
    parser.add_argument("--resume")
    flags = parser.parse_known_args(argv)[0]
    preset = {}
    try:
        if flags.env is not None:
            check_name("environment", flags.env, environment_types)
        if flags.resume:
            preset = read_run(flags.resume, trainer_type, environment_types)
            if flags.preset or flags.env not in (None, preset["env"]):
                other = f"--preset={flags.preset}" if flags.preset else f"--env={flags.env}"
                raise ConfigError(f"--resume goes on with a run's own settings, so {other} cannot be given, too")
        elif flags.preset:
            path = shipped_file("preset", flags.preset)
            preset = read_preset(path, flags.env, trainer_type, environment_types, foreign)
    except ConfigError as error:
        parser.error(str(error))
    (default,) = (info.default for info in setting_fields(trainer_type) if info.name == "env")
    return flags.env or preset.get("env", default), preset


def _stray(token: str, infos: Sequence[SettingInfo], environment_types: Mapping[str, type], env_id: str) -> str:
    """What to say about an argument that is no flag here."""
    flag = token.partition("=")[0]
    if not flag.startswith("-"):
        return f"unexpected argument {token!r}; settings are given as --name=value"
    name = flag.lstrip("-").replace("-", "_")
    owners = [owner for owner, t in environment_types.items() if name in {info.name for info in setting_fields(t)}]
    if owners:
        return f"{flag} is a flag of {', '.join(owners)}, not of {env_id}"
    flags = [f"--{info.name}" for info in infos]
    if name.startswith("no_"):
        if any(info.name == name[3:] and _is_bool(info) for info in infos):
            return f"{flag} takes no value"
        flags += [f"--no_{info.name}" for info in infos if _is_bool(info)]
    if nearest(f"--{name}", flags) is None:
        return f"unknown flag {flag!r}; --help lists the flags"  # a list of all of them would be no line to read
    return unknown("flag", flag, flags)


def _description(trainer_type: type, environment_types: Mapping[str, type], env_id: str) -> str:
    def first_line(config_type: type) -> str:
        return (inspect.getdoc(config_type) or "").partition("\n")[0]

    width = max(len(name) for name in environment_types)
    lines = [f"  {name:<{width}}  {first_line(config)}".rstrip() for name, config in environment_types.items()]
    head = [first_line(trainer_type), "", "environments (choose with --env):", *lines, ""]
    if "preset" in {info.name for info in setting_fields(trainer_type)}:
        lines = [f"  {path.stem:<{width}}  {purpose(path)}" for path in shipped_files("preset")]
        head += ["presets, whose values become the defaults (choose with --preset):", *lines, ""]
    tail = [
        f"Flags are shown for {env_id}; other environments have their own: --env ID --help.",
        "Dashes and underscores are the same; --no-NAME turns NAME off.",
    ]
    return "\n".join([*head, *tail])


def _parser(infos: Sequence[SettingInfo], prog: str | None, description: str) -> _Parser:
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=32)
    parser = _Parser(
        prog=prog, usage="%(prog)s [--flag=value ...]", description=description, formatter_class=formatter,
        allow_abbrev=False, argument_default=argparse.SUPPRESS, add_help=False,
    )  # fmt: skip
    groups = {
        section: parser.add_argument_group(section or "General") for section in dict.fromkeys(i.section for i in infos)
    }
    next(iter(groups.values())).add_argument("--help", "-h", action="help", help="show this text and end")
    for info in infos:
        on: dict[str, Any] = {"nargs": "?", "const": "True"} if _is_bool(info) else {}
        # a value stays text here, so that `values` alone decides what is a number or a truth
        told = info.described.replace("%", "%%")  # argparse reads % as a placeholder
        groups[info.section].add_argument(f"--{info.name}", metavar=_metavar(info), help=told, **on)
    return parser


def _metavar(info: SettingInfo) -> str:
    if info.kind is bool:
        return "BOOL"
    return _METAVARS.get(info.kind, "A,B,...") if not info.choices else "NAME"


__all__ = ["parse_configs"]
