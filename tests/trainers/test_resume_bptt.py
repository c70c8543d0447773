"""A run of train_bptt.py that was stopped goes on as if nothing had happened."""

import csv
import json
import os
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from processes import kill, start

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.trainers import train_a2c, train_bptt
from snn_plasticity_gym.trainers.sessions import bptt_session
from snn_plasticity_gym.trainers.sessions.bptt_learner import Learner

# Three epochs of 1,197 images, the last minibatch of each smaller; rows and checkpoints fall into epochs.
FLAGS = ["--dataset=digits", "--hidden_sizes=16,12", "--num_steps=8", "--batch_size=50", "--epochs=3", "--seed=1"]
FLAGS += ["--eval_every=500", "--eval_episodes=50", "--checkpoint_every=300", "--wandb=disabled", "--no-report"]


class Killed(BaseException):
    """The process ends here."""


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "time/seconds"} for row in csv.DictReader(file)]


def result_of(run: Path) -> dict[str, float]:
    result = json.loads((run / "result.json").read_text())
    return {name: value for name, value in result.items() if name != "seconds"}


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, logged numbers, results, and where the optimiser and the streams of random numbers stand."""
    weights, others = (torch.load(run / "weights.pt", weights_only=True) for run in (one, other))
    assert weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    assert rows_of(one) == rows_of(other) and len(rows_of(one)) > 5
    assert result_of(one) == result_of(other)
    learner, another = (Checkpoints(run / "checkpoints").newest()["learner"] for run in (one, other))
    assert learner["spikes"] == another["spikes"] and learner["episodes"] == another["episodes"]
    for number, moments in learner["optimiser"]["state"].items():
        assert all(torch.equal(moments[name], another["optimiser"]["state"][number][name]) for name in moments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    return train_bptt.train([*FLAGS, f"--run_dir={tmp_path_factory.mktemp('whole')}", "--run_name=run"])


@pytest.mark.parametrize("images", [250, 1197, 1450, 3591])
def test_a_run_that_ended_after_any_minibatch_goes_on(images, whole, tmp_path, monkeypatch):
    """Before the first checkpoint, between epochs, within one, and after the last minibatch."""

    def steps(learner):
        for _ in Learner.steps(learner):
            yield
            if learner.episodes >= images:
                raise Killed

    with monkeypatch.context() as patch:
        dying = type("Dying", (Learner,), {"steps": steps})
        patch.setattr(bptt_session, "Learner", dying)
        with pytest.raises(Killed):
            train_bptt.train([*FLAGS, f"--run_dir={tmp_path}", "--run_name=run"])
    run = tmp_path / "BPTT" / "run"
    assert not (run / "weights.pt").exists()
    assert_same_run(whole, train_bptt.train([f"--resume={run}"]))


def begin(arguments: list[str], errors: Path) -> BaseProcess:
    """Start a process, and wait until it has written a row."""
    process = start(train_bptt, arguments, errors)
    while process.is_alive() and not (errors.exists() and "of 3591 episodes" in errors.read_text()):
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_a_killed_and_then_interrupted_run_loses_nothing(whole, tmp_path):
    run, errors = tmp_path / "BPTT" / "run", tmp_path / "errors.txt"
    process = begin([*FLAGS, f"--run_dir={tmp_path}", "--run_name=run"], tmp_path / "first.txt")
    assert kill(process, 0.0), "the run must be long enough to be killed"
    process = begin([f"--resume={run}"], errors)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130, errors.read_text()
    assert errors.read_text().splitlines()[-1] == f"stopped; continue with --resume={run}"
    assert_same_run(whole, train_bptt.train([f"--resume={run}"]))


def test_what_cannot_go_on_is_refused_in_one_line(whole, tmp_path, capsys):
    def refusal(*flags: str) -> str:
        with pytest.raises(SystemExit):
            train_bptt.train(list(flags))
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    with pytest.raises(ConfigError, match=r"has had its episodes; start another run$"):
        train_bptt.train([f"--resume={whole}"])
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "result.json").unlink()
    capsys.readouterr()
    assert "learning_rate is 0.003 in the run, got 0.5; only checkpoint_every, data_dir" in refusal(
        f"--resume={run}", "--learning_rate=0.5"
    )
    assert "episodes is 0 in the run, got 9000; only checkpoint_every" in refusal(f"--resume={run}", "--episodes=9000")
    assert "no run to resume at" in refusal(f"--resume={tmp_path / 'none'}")
    with pytest.raises(SystemExit):
        train_a2c.train([f"--resume={run}"])
    assert "is no configuration of a run: its env is None" in capsys.readouterr().err
