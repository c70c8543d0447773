"""Argument parser of the programs: short or full help, errors in one line."""

from __future__ import annotations

import argparse
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from snn_plasticity_gym.config.launch import wait_for_first_process
from snn_plasticity_gym.config.presets import purpose, shipped_presets
from snn_plasticity_gym.config.resuming import refuse_changes
from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, build_configs, setting_fields

FEW = 20  # settings in the short help if none is marked basic
EVERYTHING = "all"  # value of --help for full help
FIRST = ("env", "preset")  # of a program's help
REPEATED = "plugin"  # a flag that may be given several times
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT"}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the list of all flags."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {wait_for_first_process()}{message}\n")

    def build(self, values: Mapping[str, Any], *types: type) -> tuple[Any, ...]:
        """Build the configurations, or end the program with the errors in the values."""
        try:
            return build_configs(values, *types)
        except ConfigError as error:
            self.error(str(error))

    def refuse_changes(self, before: Sequence[Any], after: Sequence[Any], longer: bool = True) -> None:
        """End the program if settings contradict those of the resumed run."""
        try:
            refuse_changes(before, after, longer)
        except ConfigError as error:
            self.error(str(error))


class _Help(argparse.Action):
    """Prints the basic settings, or all of them, and ends the program."""

    whole: Mapping[argparse.Action, str]  # help of the settings left out of the short help
    begin: Callable[[], str]  # makes the head of the help, which takes a while

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        if values not in (None, EVERYTHING):
            parser.error(f"--help takes nothing or {EVERYTHING}, got {values!r}")
        if values == EVERYTHING:
            parser.epilog = None
            for action, text in self.whole.items():
                action.help = text
        parser.description = self.begin()
        parser.print_help()
        parser.exit()


def flag_parser(infos: Sequence[SettingInfo], prog: str | None, begin: Callable[[], str]) -> Parser:
    """Make a parser with a flag for every setting, in sections; values stay text.

    Args:
        infos: The settings.
        prog: Name of the program in help and errors.
        begin: Returns the head of the help.
    """
    infos = sorted(infos, key=lambda info: info.name not in FIRST)
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=32)
    parser = Parser(
        prog=prog, usage="%(prog)s [--flag=value ...]", formatter_class=formatter,
        allow_abbrev=False, argument_default=argparse.SUPPRESS, add_help=False,
    )  # fmt: skip
    groups = {
        section: parser.add_argument_group(section or "General") for section in dict.fromkeys(i.section for i in infos)
    }
    show = next(iter(groups.values())).add_argument(
        "--help", "-h", action=_Help, nargs="?", metavar=EVERYTHING, help=f"show this text, or {EVERYTHING} settings"
    )
    whole: dict[argparse.Action, str] = {}
    for info in infos:
        on: dict[str, Any] = {"nargs": "?", "const": "True"} if is_bool(info) else {}
        on |= {"action": "append"} if info.name == REPEATED else {}
        help_text = info.described.replace("%", "%%")  # argparse reads % as a placeholder
        hidden = not info.basic and len(infos) > FEW
        # a value stays text here: `values` alone parses numbers and booleans
        action = groups[info.section].add_argument(
            f"--{info.name}", metavar=_metavar(info), help=argparse.SUPPRESS if hidden else help_text, **on
        )
        if hidden:
            whole[action] = help_text
    assert isinstance(show, _Help)
    show.whole, show.begin = whole, begin
    if whole:
        shown = len(infos) - len(whole)
        parser.epilog = f"These are {shown} of {len(infos)} settings; --help {EVERYTHING} shows the rest, too."
    return parser


def is_bool(info: SettingInfo) -> bool:
    """Whether a setting is a switch."""
    return info.kind is bool


def first_line(config_type: type) -> str:
    """Return the summary line of a configuration class."""
    return (inspect.getdoc(config_type) or "").partition("\n")[0]


def describe(
    trainer_type: type, environment_types: Mapping[str, type], env_id: str, foreign: Sequence[type] = ()
) -> str:
    """Return the head of the help of a program with environments: its purpose, environments and presets."""
    width = max(len(name) for name in environment_types)
    lines = [f"  {name:<{width}}  {first_line(config)}".rstrip() for name, config in environment_types.items()]
    head = [first_line(trainer_type), "", "environments (choose with --env):", *lines, ""]
    if "preset" in {info.name for info in setting_fields(trainer_type)}:
        presets = shipped_presets(trainer_type, environment_types, foreign)
        lines = [f"  {path.stem:<{width}}  {purpose(path)}" for path in presets]
        head += ["presets, whose values become the defaults (choose with --preset):", *lines, ""]
    tail = [
        f"Flags are shown for {env_id}; for others give --env ID --help.",
        "Dashes and underscores are the same; --no-NAME turns NAME off.",
    ]
    return "\n".join([*head, *tail])


def _metavar(info: SettingInfo) -> str:
    if is_bool(info):
        return "BOOL"
    return _METAVARS.get(info.kind, "A,B,...") if not info.choices else "NAME"
