"""Shared parts of all benchmark programs: flags, one thread, and output of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.images import DATASETS
from snn_plasticity_gym.config.schema import config_class, setting

Config = TypeVar("Config", bound="BenchmarkConfig")


@config_class
class BenchmarkConfig:
    """Flags of every benchmark."""

    quick: bool = setting(False, "Fewer rounds and smaller sizes: under 40 s on one busy core.", section="Benchmark")
    json: bool = setting(False, "One line of JSON.", section="Benchmark")
    seed: int = setting(0, "Seed of everything.", section="Benchmark", ge=0)
    dataset: str = setting(
        "auto", "Images of the episodes; auto is MNIST where it can be had.", section="Workload", choices=DATASETS
    )
    n_exc: int = setting(400, "Excitatory neurons of the network.", section="Workload", ge=1)
    num_steps: int = setting(100, "Time steps of an image; also the history length.", section="Workload", ge=1)

    def at_most(self, number: int, quick: int) -> int:
        """Return a number of rounds or lifetimes, limited by `quick` if the benchmark is quick."""
        return min(number, quick) if self.quick else number


def json_flag(keys: Mapping[str, str]) -> Any:
    """Declare the setting `json` with its keys explained in its help."""
    explained = "; ".join(f"{key}: {meaning}" for key, meaning in keys.items())
    return setting(False, f"One line of JSON in place of a table. {explained}.", section="Benchmark")


def run(
    config_type: type[Config],
    keys: Mapping[str, str],
    measure: Callable[[Config], Mapping[str, Any]],
    argv: Sequence[str] | None = None,
) -> None:
    """Measure on one thread by the flags, and print the results.

    Args:
        config_type: Configuration class.
        keys: Meaning of each result, by its key.
        measure: Returns the results; missing keys are null.
        argv: Arguments after the program's name; those of this process if None.
    """
    config = parse_config(config_type, argv)
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    measured = measure(config)
    assert set(measured) <= set(keys), f"unexplained keys: {set(measured) - set(keys)}"
    results = {key: rounded(measured.get(key)) for key in keys}
    if config.json:
        print(json.dumps(results))
        return
    for key, value in results.items():
        print(f"{'-' if value is None else value!s:>24}  {key}: {keys[key]}")


def rounded(value: Any) -> Any:
    """Return floats, also inside lists and dictionaries, with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value
