"""Runs that are spread over two processes: the real commands."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import BOUND, spread

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.trainers import evaluate, train_a2c, train_ppo
from snn_plasticity_gym.trainers.sessions.unsupervised_session import PIXELS

NETWORK = ["--dataset=digits", "--n_exc=8", "--num_steps=10", "--history_length=8", "--max_rate=0.02"]
NETWORK += ["--gain_input_exc=20", "--head_sizes=16,16", "--wandb=disabled", "--no-report"]
SHORT = [*NETWORK, "--episodes=24", "--checkpoint_every=8", "--eval_episodes=4", "--num_envs=4", "--seed=1"]
RULE = ["--exploration=rule", "--mirrored", "--perturb=last"]


def said(folder: Path, rank: int) -> str:
    return (folder / f"{rank}.txt").read_text()


def run_of(root: Path, name: str) -> Path:
    (path,) = root.glob(f"*/{name}")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two processes."""
    root = tmp_path_factory.mktemp("whole")
    assert spread(train_a2c, [*SHORT, f"--run_dir={root}", "--run_name=two"], root) == [0, 0]
    return run_of(root, "two"), root


def test_the_first_process_logs_and_saves_and_the_other_is_silent(whole):
    run, root = whole
    assert "24 of 24 episodes" in said(root, 0)
    assert said(root, 1) == ""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["rollout/reward"]]
    assert [int(row["time/episodes"]) for row in rows] == [4, 8, 12, 16, 20, 24]
    assert (run / "rule.safetensors").exists() and (run / "final.zip").exists()
    saved = Checkpoints(run / "checkpoints").newest()
    assert saved["episodes"] == 24 and len(saved["other_learners"]) == 1
    assert saved["other_learners"][0]["env"]["seeds"] == [3, 4] and saved["learner"]["env"]["seeds"] == [1, 2]


@pytest.mark.slow
def test_ppo_by_rules_is_that_of_one_process(tmp_path):
    arguments = [*SHORT, *RULE, f"--run_dir={tmp_path}"]
    train_ppo.train([*arguments, "--run_name=one", "--no-progress"])
    assert spread(train_ppo, [*arguments, "--run_name=two"], tmp_path) == [0, 0]
    one, two = (load_policy(run_of(tmp_path, name)).state_dict() for name in ("one", "two"))
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_another_number_of_processes_cannot_go_on_and_the_same_does_bit_for_bit(whole, tmp_path):
    run, _ = whole
    arguments = [*SHORT, f"--run_dir={tmp_path}", "--run_name=two"]
    assert spread(train_a2c, [*arguments, "--episodes=12"], tmp_path) == [0, 0]
    begun = run_of(tmp_path, "two")
    with pytest.raises(ConfigError, match="must be the run's, 2, got 1; start it with torchrun --nproc-per-node 2"):
        train_a2c.train([f"--resume={begun}", "--episodes=24"])
    assert spread(train_a2c, [f"--resume={begun}", "--episodes=24"], tmp_path) == [0, 0]
    wanted, got = (load_policy(folder).state_dict() for folder in (run, begun))
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    states = [Checkpoints(folder / "checkpoints").newest() for folder in (run, begun)]
    for one, other in zip(*([state["learner"], *state["other_learners"]] for state in states), strict=True):
        assert torch.equal(one["noise"], other["noise"]) and one["counters"] == other["counters"]
        for name, weights in one["env"]["network"].items():
            if isinstance(weights, torch.Tensor):
                assert torch.equal(weights, other["env"]["network"][name]), name


UNSUPERVISED = ["--env=SNNPlastic-Unsup1-v0", "--n_exc=8", "--gain_input_exc=20", "--label_images=40"]
JUDGED = {
    "unsupervised": [*UNSUPERVISED, "--rules=stdp", "--lifetime_length=4", "--plastic_episodes=2", "--common_noise"],
    "classifiers": ["--env=SNNPlastic-Semi-v0", "--third_factor=feedback", "--rules=delta,zero", "--hidden_sizes=6"],
    "returns": ["--env=SNNPlastic-CartPole-v0", "--rules=stdp,zero", "--eta=0.05", "--common_noise"],
}
IMAGES = ["--dataset=digits", "--num_steps=10", "--history_length=10", "--max_rate=0.2", "--test_episodes=20"]


@pytest.mark.parametrize(
    "kind", ["returns", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("unsupervised", "classifiers"))]
)
def test_an_evaluation_is_that_of_one_process(kind, tmp_path):
    flags = ["--networks=4", "--train_episodes=4", "--tests=2", "--seed=7", *JUDGED[kind]]
    flags += ["--test_episodes=2"] if kind == "returns" else IMAGES
    wanted = evaluate.evaluate([*flags, f"--out={tmp_path}/one"])
    assert spread(evaluate, [*flags, f"--out={tmp_path}/two"], tmp_path) == [0, 0]
    assert said(tmp_path, 1) == ""
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["rules"] for name in ("one", "two"))
    assert one.keys() == two.keys() == wanted.keys() - {PIXELS}
    for name, results in one.items():
        assert {**two[name], "seconds": 0} == {**results, "seconds": 0}
    assert {path.name for path in (tmp_path / "one").iterdir()} == {path.name for path in (tmp_path / "two").iterdir()}


def test_networks_that_cannot_be_shared_equally_are_refused(tmp_path):
    flags = ["--dataset=digits", *UNSUPERVISED, "--rules=stdp", "--networks=3", f"--out={tmp_path}/out"]
    assert spread(evaluate, flags, tmp_path) == [1, -signal.SIGTERM]
    assert said(tmp_path, 0) == "error: networks must be a multiple of the 2 processes that share them, got 3\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("program", "flags", "message"),
    [
        (train_a2c, ["--num_envs=3"], "error: num_envs must be a multiple of the 2 processes that share them, got 3"),
        (train_ppo, [], "error: PPO with exploration independent draws its minibatches from the events of one process"),
    ],
)
def test_what_cannot_be_spread_is_refused_in_one_line(program, flags, message, tmp_path):
    assert spread(program, [*SHORT, *flags, f"--run_dir={tmp_path}/runs"], tmp_path) == [1, -signal.SIGTERM]
    assert said(tmp_path, 0).startswith(message) and said(tmp_path, 0).count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", train_a2c.__file__]
    command += [*SHORT, "--episodes=100000", f"--run_dir={tmp_path}", "--run_name=long"]
    with (tmp_path / "errors.txt").open("w") as errors:
        launcher = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    deadline = time.monotonic() + BOUND
    while not list(tmp_path.glob("*/long/checkpoints/episodes_*")):
        assert launcher.poll() is None and time.monotonic() < deadline, (tmp_path / "errors.txt").read_text()
        time.sleep(0.05)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    (victim,) = [int(child) for child in children if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes()]
    os.kill(victim, signal.SIGKILL)
    assert launcher.wait(BOUND) == 1
    told = (tmp_path / "errors.txt").read_text()
    assert "error: another process of the run has ended or fallen silent" in told
    assert f"all must be started anew with --resume={run_of(tmp_path, 'long')}" in told
