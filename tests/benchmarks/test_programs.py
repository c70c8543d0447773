"""Every benchmark prints one line of JSON with the keys that its help explains."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # programs that compile every loop for themselves
ROOT = Path(__file__).parents[2]
TINY = ["--quick", "--json", "--rounds=1", "--dataset=digits", "--n_exc=6", "--num_steps=6"]
FLAGS = {
    "front": [*TINY, "--num_pairs=64"],
    "episode": [*TINY, "--sizes=2,3,4", "--lifetimes=1,2", "--no-memory"],
    "rules": [*TINY, "--lifetimes=2"],
    "lives": [*TINY, "--sizes=2,3", "--lifetimes=1,2"],
    "limits": [*TINY, "--lifetimes=2"],
    "teacher": ["--quick", "--json", "--rounds=1", "--batch=2", "--num_steps=3"],
}
NOT_MEASURED = {  # null without other people's libraries, or where the flags above say so
    "front": set(),
    "episode": {"peak_memory", "base_memory"},
    "rules": {"bindsnet_one", "bindsnet_many", "over_bindsnet_one", "over_bindsnet_many"}
    | {"learned_over_bindsnet_one", "learned_over_bindsnet_many"},
    "lives": set(),
    "limits": set(),
    "teacher": {"spikingjelly", "snntorch", "over_spikingjelly", "over_snntorch"},
}


def run(program: str, *flags: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{program}.py"), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=120).stdout


def numbers(value):
    """All numbers in a result."""
    if isinstance(value, dict):
        value = list(value.values())
    return [number for part in value for number in numbers(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("program", FLAGS)
def test_one_line_of_json(program):
    output = run(program, *FLAGS[program])
    assert output.count("\n") == 1
    results = json.loads(output)
    assert {key for key, value in results.items() if value is None} == NOT_MEASURED[program]
    for key in results.keys() - NOT_MEASURED[program] - {"dataset"}:
        assert all(math.isfinite(number) for number in numbers(results[key])), key
    explained = " ".join(run(program, "--help").split())
    assert [key for key in results if f" {key}: " not in explained] == []


def test_processes_say_what_they_hand_over():
    results = json.loads(run("spread", "--lifetimes=2", "--updates=1", "--n_exc=6", "--num_steps=6"))
    assert results["processes"] == 1
    for way in ("independent", "rule, last layers", "rule, heads"):
        assert results[way]["cpu_seconds"] > 0 and results[way]["messages"] > 0
    heads = results["rule, heads"]["perturbation_numbers"]
    assert heads > results["rule, last layers"]["perturbation_numbers"] > 0
