"""Trainings of networks that act, by the real programs: to their end, and killed and taken up again."""

import csv
import random
import time
from pathlib import Path

import pytest
import torch
from processes import kill, start

from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.trainers import train_a2c, train_es

COMMON = ["--num_envs=4", "--head_sizes=8", "--episodes=40", "--checkpoint_every=4", "--eval_episodes=0", "--seed=1"]
COMMON += ["--wandb=disabled", "--no-report", "--steps_per_action=5", "--history_length=5", "--hidden_sizes=6"]
COMMON += ["--noise=0.2"]
FIELDS = '{"fields": 4, "period": 2, "mean": [0, 0, 0, 0], "std": [0.05, 0.5, 0.05, 0.8]}'
CARTPOLE = ["--env=SNNPlastic-CartPole-v0", f"--encoder_kwargs={FIELDS}", '--decoder_kwargs={"group_size": 2}']
CAR = ["--env=SNNPlastic-MountainCar-v0", "--max_actions=20", "--third_factor=targeted", "--modulation=factor"]
PROGRAMS = {
    "a2c": (train_a2c, [*CARTPOLE, "--third_factor=rpe", "--lifetime_length=4"]),
    "rules": (train_a2c, [*CAR, "--exploration=rule", "--mirrored", "--common_noise"]),
    "es": (train_es, [*CARTPOLE, "--encoder=gaussian", '--encoder_kwargs={"fields": 3, "low": -0.3, "high": 0.3}']),
}


def run_of(root: Path, name: str) -> Path:
    (path,) = root.glob(f"*/{name}")
    return path


def numbers(state, place: str = "") -> dict[str, object]:
    """Everything in a checkpoint but the time of day, by its place."""
    if isinstance(state, dict):
        parts = [(key, value) for key, value in state.items() if key not in ("seconds", "t")]
    elif isinstance(state, list | tuple):
        parts = list(enumerate(state))
    else:
        return {place: state.tolist() if isinstance(state, torch.Tensor) else state}
    return {name: value for key, part in parts for name, value in numbers(part, f"{place}/{key}").items()}


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        timed = ("time/events_per_second", "time/fps", "time/time_elapsed")
        return [{key: value for key, value in row.items() if key not in timed} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a2c", "rules", "es"])
def test_a_killed_run_ends_as_if_nothing_had_happened(name, tmp_path):
    program, flags = PROGRAMS[name]
    arguments = [*COMMON, *flags, f"--run_dir={tmp_path}"]
    process = start(program, [*arguments, "--run_name=killed"])
    while process.is_alive() and not list(tmp_path.glob("*/killed/checkpoints/*_*")):
        time.sleep(0.01)
    assert kill(process, random.uniform(0.0, 0.3)), "the run must be long enough to be killed"
    program.train([*arguments, "--run_name=whole", "--no-progress"])
    whole, killed = run_of(tmp_path, "whole"), run_of(tmp_path, "killed")
    assert len(rows_of(killed)) < len(rows_of(whole))
    program.train([f"--resume={killed}"])
    states = [numbers(Checkpoints(run / "checkpoints").newest()) for run in (whole, killed)]
    assert len(states[0]) > 50 and states[0] == states[1]
    assert rows_of(whole) == rows_of(killed)
    first, *_, last = (float(row["rollout/spikes_motor"]) for row in rows_of(whole) if row["rollout/spikes_motor"])
    assert first > 0 and last > 0
    load_rule(whole)
