"""Scaling of cost with the network and the number of lifetimes, and memory of training."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from program import BenchmarkConfig
from workload import ENV_ID, environment, rule_network

from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

WARM_UP, WINDOW = 40, 10  # time steps before, and in, the measurement
MEMORY_LIFETIMES = 16
QUICK_STEPS = 30


def window_seconds(config: BenchmarkConfig, **sizes: int) -> tuple[float, int]:
    """Return CPU seconds and events of ten time steps within an image, with a learned rule.

    Earlier steps use the zero rule, until the network has its usual activity.
    """
    env = environment(config, sizes.pop("num_envs", 1), **sizes)
    rule = FrozenRule(rule_network(config.seed), config.num_steps)
    zero = make_rule("zero")
    warm_up, window = min(WARM_UP, config.num_steps // 2), min(WINDOW, config.num_steps // 2)
    count = 0
    for step in range(warm_up + window):
        if step == warm_up:
            began = time.process_time()
        events = env.events()
        assert events is not None
        current_rule = rule if step >= warm_up - 1 else zero  # once before the window, to map memory and build tables
        count += len(events.weight) * (step >= warm_up)
        env.apply(current_rule(events))
    return time.process_time() - began, count


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """Return the exponent b of the least squares fit cost = a size^b; None for fewer than two sizes."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]) if len(sizes) > 1 else None


def peak_memory(config: BenchmarkConfig, images: int) -> int:
    """Return the largest resident set, bytes, of a process that trains 16 lifetimes for `images` images each."""
    steps = min(QUICK_STEPS, config.num_steps) if config.quick else config.num_steps
    settings = {"dataset": config.dataset, "n_exc": config.n_exc, "num_steps": steps, "history_length": steps}
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(settings), str(images), str(config.seed)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def train(settings: dict[str, Any], images: int, seed: int) -> None:
    """Train as the main job does, for a few images."""
    torch.set_num_threads(1)
    if images:
        env = make_sb3_env(ENV_ID, MEMORY_LIFETIMES, **settings)
        model = EventA2C("PlasticityPolicy", env, n_steps=1, events_per_episode=1024, seed=seed, device="cpu")
        model.learn(images * MEMORY_LIFETIMES * settings["num_steps"])


def largest_resident_set() -> int:
    """Return the largest resident set of this process, bytes; on Linux `getrusage` includes its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else 1024 * kilobytes


if __name__ == "__main__":
    train(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(largest_resident_set())
