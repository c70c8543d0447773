"""W&B sweep files: parsing, and the settings and the command line of each run.

Of W&B's distributions those of RANGES are supported, besides a value and a list of values.
"""

from __future__ import annotations

import difflib
import importlib.resources
import itertools
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snn_plasticity_gym.config.presets import check_name
from snn_plasticity_gym.config.schema import ConfigError, read_yaml

METHODS = ("grid", "random", "bayes")
RANGES = ("uniform", "log_uniform_values", "int_uniform")
KEYS = ("program", "method", "metric", "parameters", "command", "run_cap")
OTHER_KEYS = ("name", "description", "project", "entity", "early_terminate")  # W&B's, ignored here
COMMANDS = "snn-"  # prefix of our commands
OPEN_GROUPS = ("eval_before", "eval_after", "rollout", "delta_w", "weights")  # to which tasks add further names
_TERMS = ["reward", "sparsity", "diversity", "stability", "information", "reconstruction", "alignment", "penalty"]
_TERMS += ["accuracy", "margin", "output_rate"]
_OF_RUNS = [f"{group}/{term}" for group in OPEN_GROUPS[:3] for term in _TERMS]
_OF_RUNS += ["rollout/events_per_episode", "rollout/ep_rew_mean", "rollout/ep_len_mean", "train/n_updates"]
_OF_RUNS += [f"time/{name}" for name in ("episodes", "events_per_second", "iterations", "fps", "time_elapsed")]
_OF_RUNS += ["time/total_timesteps"]
_OF_RULES = ["train/return", "train/rule_gradient", "train/rule_step", "train/approx_kl", "train/return_spread"]
_OF_EVENTS = ["train/learning_rate", "train/explained_variance", "train/events", "train/policy_loss", "train/sigma"]
_OF_EVENTS += ["train/value_loss", "train/entropy_loss", "train/gradient_norm", "train/mean_abs_delta"]
_OF_PPO = ["train/clip_fraction", "train/clip_range", "train/epochs"]
_OF_BPTT = ["eval/accuracy", "eval/loss", "test/accuracy", "test/loss", "train/accuracy", "train/loss"]
_OF_EVOLUTION = [f"train/{name}" for name in ("fitness", "fitness_best", "fitness_spread", "return", "return_best")]
_OF_EVOLUTION += ["train/terminated"]
_OF_EVOLUTION += [
    f"{test}/{name}"
    for test in ("test", "last_test")
    for name in ("return", "return_spread", "return_least", "fitness", "steps", "terminated")
]
_OF_PLASTIC = [f"eval/{name}" for name in ("accuracy", "normal", "noisy", "hidden_rate", "output_rate")]
_OF_PLASTIC += ["test/normal", "test/noisy", "train/accuracy", "train/loss", "train/not_finite", "train/reward"]
_OF_PLASTIC += [f"{part}/{name}" for part in ("eval", "test") for name in ("return", "return_spread", "length")]
_OF_PLASTIC += [f"test/{name}" for name in ("hidden_rate", "output_rate")]
_OF_PLASTIC += [f"train/{name}" for name in ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")]
_OF_PLASTIC += ["train/deviation", "train/episodes", "time/steps"]
_OF_SEARCH = [f"{part}/{name}" for part in ("eval", "test") for name in ("accuracy", "return")]
_OF_SEARCH += ["test/contrast", "test/paper", "train/fitness", "train/fitness_best"]
METRICS = {  # by program
    "train_a2c": ["eval_after/reward", *_OF_RUNS, *_OF_RULES, *_OF_EVENTS],
    "train_ppo": ["eval_after/reward", *_OF_RUNS, *_OF_RULES, *_OF_EVENTS, *_OF_PPO],
    "train_es": ["eval_after/reward", *_OF_RUNS, "train/return", "train/return_best", "train/sigma", "train/rule_step"],
    "evolve": [*_OF_EVOLUTION, "time/episodes", "time/seconds", "time/steps"],
    "train_svpg": ["eval/accuracy", "eval/return", "test/accuracy", "test/return", "train/reward", "time/episodes"],
    "search_svpg": [*_OF_SEARCH, "time/episodes", "time/seconds"],
    "train_plastic": [*_OF_PLASTIC, "time/episodes", "time/seconds"],
    "train_bptt": [*_OF_BPTT, "time/episodes", "time/seconds"],
}
RATE = r"eval/rate_\d+"  # of a layer; a setting gives their number
COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


def read_sweep(path: Path) -> dict[str, Any]:
    """Read a sweep file; parameters become `{values: [...]}` or `{distribution: ..., min: ..., max: ...}`.

    Raises:
        ConfigError: The file cannot be read, or is no sweep that can be run here; one line that names the file.
    """
    sweep = read_yaml(path)
    try:
        for key in sweep:
            check_name("key", key, (*KEYS, *OTHER_KEYS))
        missing = [key for key in KEYS[:4] if key not in sweep]
        if missing:
            raise ConfigError(f"{', '.join(missing)} must be given")
        metric, parameters, command = sweep["metric"], sweep["parameters"], sweep.get("command", list(COMMAND))
        check_name("method", sweep["method"], METHODS)
        if not isinstance(sweep["program"], str):
            raise ConfigError(f"program must be a path, got {sweep['program']!r}")
        if type(sweep.get("run_cap", 1)) is not int or sweep.get("run_cap", 1) < 1:
            raise ConfigError(f"run_cap must be an integer of at least 1, got {sweep['run_cap']!r}")
        if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
            raise ConfigError(f"metric must be a mapping with name and goal, got {metric!r}")
        check_name("goal of the metric", metric.setdefault("goal", "minimize"), ("minimize", "maximize"))
        if not isinstance(parameters, dict) or not parameters:
            raise ConfigError(f"parameters must be a mapping of settings, got {parameters!r}")
        if not isinstance(command, list):
            raise ConfigError(f"command must be a list, got {command!r}")
        for part in command:
            if str(part).startswith("${"):
                check_name("macro in command:", part, COMMAND)
        parameters = {name: _parameter(name, given) for name, given in parameters.items()}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return sweep | {"parameters": parameters, "command": [str(part) for part in command]}


def _parameter(name: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{name} must be a mapping such as {{value: 1}}, got {given!r}")
    keys, kind = given.keys() - {"distribution"}, given.get("distribution")
    if keys == {"value"} and kind in (None, "constant"):
        return {"values": [given["value"]]}
    if keys == {"values"} and kind in (None, "categorical") and isinstance(given["values"], list) and given["values"]:
        return {"values": given["values"]}
    if keys != {"min", "max"}:
        raise ConfigError(f"{name} must have one of: value; values, a list; min and max; got {given!r}")
    low, high = given["min"], given["max"]
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise ConfigError(f"{name} must lie between numbers (YAML takes 1e-3 for text, not 1.0e-3), got {bound!r}")
    whole = isinstance(low, int) and isinstance(high, int)
    kind = kind or ("int_uniform" if whole else "uniform")
    check_name(f"distribution of {name}:", kind, RANGES)
    if low > high or (kind == "log_uniform_values" and low <= 0) or (kind == "int_uniform" and not whole):
        raise ConfigError(f"{name} has no {kind} distribution between {low} and {high}")
    return {"distribution": kind, "min": low, "max": high}


def find_program(name: str, sweep: Path) -> Path:
    """Return the program of a sweep: a file, relative to here or to a folder above the sweep, or one of ours.

    Ours are given as `trainers/train_a2c.py`, as in the repository, wherever they are installed, and by the names of
    their commands, `snn-train-a2c`.

    Raises:
        ConfigError: There is no such program.
    """
    ours = Path(str(importlib.resources.files("snn_plasticity_gym.trainers")))
    path = Path(name).expanduser()
    places = [place / path for place in (Path(), *sweep.resolve().parents)]
    if path.parent == Path("trainers"):
        places.append(ours / path.name)
    if name.startswith(COMMANDS):
        places.append(ours / f"{name.removeprefix(COMMANDS).replace('-', '_')}.py")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        scripts = ", ".join(f"trainers/{path.name}" for path in sorted(ours.glob("train_*.py")))
        raise ConfigError(f"{sweep}: there is no program {name}; give a path seen from here, or one of ours: {scripts}")
    return found


def check_metric(metric: str, program: Path) -> None:
    """Check, before any run, that a training program of ours logs a metric.

    Tasks name the terms of their rewards themselves, so in `OPEN_GROUPS` only misspellings of known names are refused.

    Raises:
        ConfigError: It does not log it.
    """
    known = METRICS.get(program.stem) if program.resolve().parent.name == "trainers" else None
    if known is None or metric in known or (known is METRICS["train_bptt"] and re.fullmatch(RATE, metric)):
        return
    groups = dict.fromkeys(name.partition("/")[0] for name in known)
    group, slash, _ = metric.partition("/")
    near = difflib.get_close_matches(metric, known, n=1, cutoff=0.85)
    if near:
        raise ConfigError(f"{program.name} logs no metric {metric!r}; did you mean {near[0]}?")
    if group in OPEN_GROUPS and slash and program.stem != "train_bptt":  # which has no task
        return
    if not slash or group not in groups:
        names = ", ".join(f"{name}/..." for name in groups)
        raise ConfigError(f"{program.name} logs no metric {metric!r}; it logs {names}, e.g. {known[0]}")
    names = ", ".join(name for name in known if name.startswith(f"{group}/"))
    raise ConfigError(f"{program.name} logs no metric {metric!r}; of {group} it logs {names}")


def grid(parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield all combinations; the last parameter changes fastest.

    Raises:
        ConfigError: A parameter has no list of values and no integer range.
    """
    axes: list[Sequence[Any]] = []
    for name, parameter in parameters.items():
        if "values" not in parameter and parameter["distribution"] != "int_uniform":
            raise ConfigError(f"{name} needs values in a grid, got {parameter['distribution']}; or: method: random")
        axes.append(parameter.get("values") or range(parameter["min"], parameter["max"] + 1))
    return (dict(zip(parameters, values, strict=True)) for values in itertools.product(*axes))


def random_search(parameters: Mapping[str, Mapping[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    """Yield random combinations, endlessly."""
    generator = np.random.default_rng(seed)
    while True:
        yield {name: _draw(parameter, generator) for name, parameter in parameters.items()}


def _draw(parameter: Mapping[str, Any], generator: np.random.Generator) -> Any:
    if "values" in parameter:
        return parameter["values"][generator.integers(len(parameter["values"]))]
    low, high = parameter["min"], parameter["max"]
    if parameter["distribution"] == "int_uniform":
        return int(generator.integers(low, high, endpoint=True))
    if parameter["distribution"] == "uniform":
        return float(generator.uniform(low, high))
    value = math.exp(generator.uniform(math.log(low), math.log(high)))
    return float(min(max(value, low), high))  # exp(log(x)) may miss x by a rounding


def expand(command: Sequence[str], program: Path, values: Mapping[str, Any]) -> list[str]:
    """Return the command line of one run, in the form of a W&B agent."""
    flags = [f"--{name}={value}" for name, value in values.items()]
    words = dict(zip(COMMAND, (["/usr/bin/env"], [sys.executable], [str(program)], flags), strict=True))
    return [part for word in command for part in words.get(word, [word])]
