"""Every setting of every configuration, with values that it cannot take: one line that names it, before work starts."""

import math
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.cli import parse_config, parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.report import ReportConfig
from snn_plasticity_gym.config.robustness import RobustnessConfig
from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, setting_fields
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.config.training import A2CConfig, PPOConfig
from snn_plasticity_gym.rules.registry import RULES

TRAINERS: dict[str, type] = {"a2c": A2CConfig, "ppo": PPOConfig}
OTHERS: dict[str, type] = {"bptt": BPTTConfig, "ceiling": CeilingConfig, "report": ReportConfig}
OTHERS |= {"robustness": RobustnessConfig, "svpg search": SVPGSearchConfig}
OTHERS |= {"evaluate": EvaluateConfig, "evolve": EvolveConfig, "plastic": PlasticConfig, "svpg": SVPGConfig}
CONFIGS: dict[str, type] = TRAINERS | OTHERS | ENVIRONMENTS | {f"rule {name}": rule for name, rule in RULES.items()}
EVERY = [(config, info) for config in CONFIGS.values() for info in setting_fields(config)]


def beyond(info: SettingInfo) -> Iterator[Any]:
    """Numbers just outside of the bounds."""
    number = get_args(info.kind)[0] if get_origin(info.kind) is tuple else info.kind
    for key, bound in info.bounds:
        inside = key in ("ge", "le")
        step = {"ge": -1, "gt": -1, "le": 1, "lt": 1}[key]
        near = bound + step * 1e-6 * max(1.0, abs(bound)) if number is float else bound + step
        yield near if inside else bound
        yield bound + step * 1_000_000


def wrong(info: SettingInfo) -> Iterator[Any]:
    """Values of other types, out of bounds, not finite, or no choice."""
    kind = info.kind
    yield from (object(), b"1", complex(1, 1), "[1]" if info.json else {"a": 1})
    if not info.optional:
        yield None
    if kind in (int, float):
        yield from (True, "abc", [1], math.nan, math.inf, -math.inf, *beyond(info))
        if kind is int:
            yield 1.5
    elif kind is bool:
        yield from (1, 0, "yes", 1.0, math.nan)
    elif kind is str:
        yield from (1, 1.5, True, ["a"])
        if info.choices:
            yield from ("", "no such choice", info.choices[0].upper() + "x")
    else:
        assert get_origin(kind) is tuple
        element = get_args(kind)[0]
        yield from (1, "abc", [None], [[1]], [object()])
        if element in (int, float):
            yield from ([value] for value in (math.nan, math.inf, True, "abc", *beyond(info)))


def says_one_line(message: str, name: str) -> bool:
    return "\n" not in message and message.startswith(name) and len(message) < 400


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_setting_refuses_what_it_cannot_be(config):
    for info in setting_fields(config):
        values = list(wrong(info))
        assert len(values) >= 7
        for value in values:
            with pytest.raises(ConfigError) as error:
                config(**{info.name: value})
            assert says_one_line(str(error.value), info.name), f"{info.name}={value!r}: {error.value}"


PARSED = TRAINERS | OTHERS | ENVIRONMENTS
FIRST: dict[Any, type] = {}  # which configuration is the first that has a setting
for config in PARSED.values():
    for info in setting_fields(config):
        FIRST.setdefault((info.name, info.kind, info.bounds, info.choices), config)


def wrong_texts(info: SettingInfo) -> list[str]:
    """What a shell may give that a setting cannot take. A text without choices takes any."""
    kind = get_args(info.kind)[0] if get_origin(info.kind) is tuple else info.kind
    if kind in (int, float):
        whole = ["1.5"] if kind is int else []
        return ["abc", "1 2", "nan", "inf", "-inf", "0x", *whole, *map(str, beyond(info))]
    return ["no such value"] if kind is bool or info.choices else []


@pytest.mark.parametrize(("name", "config"), PARSED.items(), ids=PARSED)
def test_its_flag_ends_the_program_with_one_line(name, config, capsys):
    """All texts in the first configuration that has a setting; one in the others, which share what reads it."""
    for info in setting_fields(config):
        first = FIRST[info.name, info.kind, info.bounds, info.choices] is config
        for text in wrong_texts(info)[: None if first else 1]:
            flags = [f"--{info.name}={text}"]
            with pytest.raises(SystemExit) as error:
                if name in ENVIRONMENTS:
                    parse_configs(A2CConfig, ENVIRONMENTS, [f"--env={name}", *flags], prog="program")
                elif "env" in {other.name for other in setting_fields(config)}:
                    parse_configs(config, ENVIRONMENTS, flags, prog="program")
                else:
                    parse_config(config, flags, prog="program")
            line = capsys.readouterr().err
            assert error.value.code == 2 and line.count("\n") == 1, f"{text!r}: {line}"
            assert line.startswith(f"program: error: {info.name}"), f"{text!r}: {line}"


PATHS = [(config, info) for config in CONFIGS.values() for info in setting_fields(config) if info.path]


def test_every_setting_that_speaks_of_a_folder_or_file_is_a_path():
    words = ("Folder", "folder", "file", "File")
    speak = {info.name for _, info in EVERY if any(word in info.help for word in words)}
    texts = {"report", "tensorboard"}  # switches
    names = {"rules", "dataset", "init_rule"}  # names or paths: expanded where they are looked up
    assert speak - texts - names <= {info.name for _, info in PATHS}
    assert {"run_dir", "out", "resume", "preset", "data_dir", "runs", "plugin", "init_policy"} <= speak


@pytest.mark.parametrize(("config", "info"), PATHS, ids=[f"{c.__name__}-{info.name}" for c, info in PATHS])
def test_a_home_is_expanded_in_every_path(config, info, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    several = get_origin(info.kind) is tuple
    settings = {"bptt": {"out": "x"}, "ranges": {"range_quantile": 0.1, "encoder_kwargs": "{}"}}.get(info.name, {})
    made = config(**settings | {info.name: ("~/a", "b~", "/c") if several else "~/a"})
    expected = ("/home/somebody/a", "b~", "/c") if several else "/home/somebody/a"
    assert getattr(made, info.name) == expected
