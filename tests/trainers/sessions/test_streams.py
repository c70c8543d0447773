"""Readers that go away, full disks, closed terminals: what is said is lost, what is learned is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import forked

from snn_plasticity_gym.trainers.sessions.interrupts import StopRequest
from snn_plasticity_gym.trainers.sessions.streams import Steady

TRAINERS = Path(__file__).parents[3] / "trainers"
NETWORK = ["--env=SNNPlastic-Unsup1-v0", "--dataset=digits", "--n_exc=4", "--num_steps=6", "--history_length=4"]
TRAIN = [*NETWORK, "--num_envs=2", "--episodes=8", "--eval_episodes=0", "--wandb=disabled", "--no-report", "--seed=1"]
JUDGE = [*NETWORK, "--rules=zero", "--train_episodes=4", "--test_episodes=4"]
FULL = Path("/dev/full")


def command(program, *flags):
    return [sys.executable, str(TRAINERS / f"{program}.py"), *flags]


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.skipif(not FULL.exists(), reason="no device stands for a full disk here")
def test_a_training_goes_on_when_the_disk_is_full_to_which_it_talks(tmp_path):
    flags = [*TRAIN, f"--run_dir={tmp_path}", "--run_name=r"]
    done = forked(TRAINERS / "train_a2c.py", *flags, stdout=FULL)
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr
    assert (tmp_path / "SNNPlastic-Unsup1-v0" / "r" / "rule.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("stream", "into"), [("stdout", "disk"), ("stderr", "pipe")])
def test_a_training_goes_on_when_nobody_can_listen(stream, into, tmp_path):
    if into == "disk" and not FULL.exists():
        pytest.skip("no device stands for a full disk here")
    nowhere = broken_pipe() if into == "pipe" else os.open(FULL, os.O_WRONLY)
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    streams = {stream: nowhere, other: subprocess.PIPE}
    done = subprocess.run(
        command("train_a2c", *TRAIN, f"--run_dir={tmp_path}", "--run_name=r"), **streams, text=True, timeout=120
    )
    os.close(nowhere)
    assert done.returncode == 0, getattr(done, other)
    assert "rror" not in getattr(done, other)
    assert (tmp_path / "SNNPlastic-Unsup1-v0" / "r" / "rule.safetensors").is_file()


@pytest.mark.slow
def test_a_judge_writes_its_files_when_nobody_can_listen(tmp_path):
    nowhere = broken_pipe()
    flags = [*JUDGE, f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command("evaluate", *flags), stdout=nowhere, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(nowhere)
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr
    assert (tmp_path / "out" / "results.json").is_file()


@pytest.mark.slow
def test_a_program_without_streams_opens_no_file_in_their_place(tmp_path):
    """A file that is opened as number 2 gets all that C libraries and `os.write(2, ...)` have to say."""
    flags = " ".join([*TRAIN, f"--run_dir={tmp_path}", "--run_name=r"])
    line = f"exec {sys.executable} {TRAINERS / 'train_a2c.py'} {flags} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], timeout=120).returncode == 0
    assert (tmp_path / "SNNPlastic-Unsup1-v0" / "r" / "rule.safetensors").is_file()


def test_what_can_be_said_is_said(tmp_path):
    with (tmp_path / "told").open("w") as file:
        steady = Steady(file)
        assert steady.write("one\n") == 4
        print("two", file=steady, flush=True)
        assert steady.name == file.name and not steady.isatty()
    assert (tmp_path / "told").read_text() == "one\ntwo\n"


def test_a_closed_terminal_stops_a_training_as_ctrl_c_does():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
    try:
        with StopRequest(silent=True) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_stops_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest(silent=True) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)
