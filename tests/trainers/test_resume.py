"""Runs that were killed, interrupted, or short of disk space go on as if nothing had happened."""

import contextlib
import csv
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import yaml
from processes import kill, start
from states import assert_same

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import claimed
from snn_plasticity_gym.trainers import train_a2c, train_es, train_ppo

ROOT = Path(__file__).parents[2]
NETWORK = ["--dataset=digits", "--n_exc=8", "--num_steps=10", "--history_length=8", "--max_rate=0.02"]
NETWORK += ["--gain_input_exc=20", "--num_envs=2", "--head_sizes=16,16"]
SHORT = ["--episodes=32", "--checkpoint_every=4", "--eval_episodes=2", "--seed=1", "--wandb=disabled", "--no-report"]
INDEPENDENT = ["--normalize_returns", "--lifetime_length=5"]
RULE = [
    "--exploration=rule",
    "--mirrored",
    "--episodes_per_update=2",
    "--credit_horizon=2",
    "--reward_form=information",
]
LATER_QUIET = "--sigma_end=0.02"
PASSES = ["--events_per_episode=64", "--n_epochs=2", "--learning_rate_end=1e-5"]
FROZEN = ["--plastic_episodes=3", "--lifetime_length=5", "--exc_theta_plus=1", "--eval_episodes=8"]
PROGRAMS = {
    "a2c": (train_a2c, ["--env=SNNPlastic-Unsup1-v0", *INDEPENDENT]),
    "a2c rule": (train_a2c, ["--env=SNNPlastic-Unsup2-v0", *RULE, LATER_QUIET]),
    "a2c heads": (train_a2c, ["--env=SNNPlastic-Unsup1-v0", *RULE, "--perturb=head", "--common_noise"]),
    "es": (train_es, ["--env=SNNPlastic-Unsup1-v0", "--episodes_per_update=2", *FROZEN]),
    "ppo": (train_ppo, ["--env=SNNPlastic-Unsup2-v0", "--event_kinds=split", *PASSES]),
}
DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:],
    "empty": lambda content: b"",
}


def run_of(root: Path, name: str) -> Path:
    (path,) = root.glob(f"*/{name}")
    return path


def wandb_steps(file: Path) -> list[int]:
    """Read global_step of all rows in W&B's file: 7 bytes, then LevelDB's log format, of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts, steps = file.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if place % 32768 > 32768 - 7:  # no header fits into what is left of the block
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, parts = Record.FromString(parts), b""
            steps += [int(i.value_json) for i in record.history.item if "global_step" in (i.key, *i.nested_key)]
    return steps


def await_text(process: BaseProcess, file: Path, text: str) -> None:
    """Wait until a process has said something, or has ended."""
    while process.is_alive() and not (file.exists() and text in file.read_text()):
        time.sleep(0.01)


def timeless(state):
    """A state without what tells the time of day."""
    if isinstance(state, dict):
        return {key: timeless(value) for key, value in state.items() if key not in ("seconds", "t")}
    return [timeless(value) for value in state] if isinstance(state, list | tuple) else state


def rows_of(run: Path) -> list[dict[str, str]]:
    timed = ("time/events_per_second", "time/fps", "time/time_elapsed")
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: row[key] for key in sorted(row) if key not in timed} for row in csv.DictReader(file)]


def assert_same_run(one: Path, other: Path) -> None:
    """Policies, networks, streams, optimisers, counters, logged numbers."""
    policies = [load_policy(run).state_dict() for run in (one, other)]
    assert_same(dict(policies[0]), dict(policies[1]))
    states = [timeless(Checkpoints(run / "checkpoints").newest()) for run in (one, other)]
    assert_same(*states)
    assert rows_of(one) == rows_of(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nothing happened to, by the name of the program."""
    root = tmp_path_factory.mktemp("whole")

    def run(name: str) -> Path:
        program, flags = PROGRAMS[name]
        folder = name.replace(" ", "-")
        if not list(root.glob(f"*/{folder}")):
            program.train([*NETWORK, *SHORT, *flags, f"--run_dir={root}", f"--run_name={folder}", "--no-progress"])
        return run_of(root, folder)

    return run


@pytest.mark.parametrize("name", ["a2c rule", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a2c", "ppo"))])
def test_a_killed_run_ends_as_if_nothing_had_happened(name, whole, tmp_path):
    program, flags = PROGRAMS[name]
    wanted = whole(name)
    arguments = [*NETWORK, *SHORT, *flags, f"--run_dir={tmp_path}", "--run_name=killed"]
    process = start(program, arguments)
    while process.is_alive() and not list(tmp_path.glob("*/killed/checkpoints/episodes_*")):
        time.sleep(0.01)
    assert kill(process, random.uniform(0.0, 0.8)), "the run must be long enough to be killed"
    run = run_of(tmp_path, "killed")
    program.train([f"--resume={run}"])
    assert_same_run(wanted, run)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_killed_again_and_again_ends_as_if_nothing_had_happened(name, tmp_path):
    """The real command; with its settings, 20 kills in all."""
    program, flags = PROGRAMS[name]
    script = [sys.executable, program.__file__]
    arguments = [*NETWORK, *SHORT, "--episodes=400", *flags, f"--run_dir={tmp_path}", "--checkpoint_every=8"]
    program.train([*arguments, "--run_name=whole"])
    kills, command = 0, [*script, *arguments, "--run_name=killed"]
    while kills < 5:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (begun := list(tmp_path.glob("*/killed/metrics.csv"))) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(random.uniform(0.0, 12.0))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        command = [*script, f"--resume={begun[0].parent}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"{name}: killed {kills} times")
    assert kills >= 3
    assert_same_run(run_of(tmp_path, "whole"), run_of(tmp_path, "killed"))


def test_a_run_goes_on_to_more_images(whole, tmp_path):
    run = copied(whole("a2c"), tmp_path)
    with pytest.raises(ConfigError, match="has had its 32 episodes; continue with larger --episodes"):
        train_a2c.train([f"--resume={run}"])
    train_a2c.train([f"--resume={run}", "--episodes=40", "--no-progress"])
    assert yaml.safe_load((run / "config.yaml").read_text())["episodes"] == 40
    longer = [*NETWORK, *SHORT, *INDEPENDENT, "--episodes=40", f"--run_dir={tmp_path}", "--run_name=longer"]
    assert_same_run(train_a2c.train(longer), run)


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / run.name))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(damage, whole, tmp_path, caplog):
    run = copied(whole("a2c"), tmp_path)
    newest = Checkpoints(run / "checkpoints").paths()[-1]
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    (run / "rule.json").unlink()
    train_a2c.train([f"--resume={run}"])
    assert f"the checkpoint {newest} is damaged; the one before it is used" in caplog.text
    newest.unlink(missing_ok=True)
    assert_same_run(whole("a2c"), run)


def test_a_run_without_a_checkpoint_begins_again(whole, tmp_path):
    run = copied(whole("a2c"), tmp_path)
    shutil.rmtree(run / "checkpoints")
    (run / "rule.json").unlink()  # it was killed early
    train_a2c.train([f"--resume={run}"])
    assert_same_run(whole("a2c"), run)


@pytest.mark.parametrize("left", ["nothing", "damaged"])
def test_a_finished_run_without_a_checkpoint_is_not_written_over(left, whole, tmp_path):
    """It would have begun anew, over what it has learned."""
    run = copied(whole("a2c"), tmp_path)
    for path in (run / "checkpoints").iterdir():
        path.unlink() if left == "nothing" else path.write_bytes(b"")
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    told = r"has learned a rule in 32 episodes and has no checkpoint to go on from; [^\n]*--init_policy="
    with pytest.raises(ConfigError, match=told):
        train_a2c.train([f"--resume={run}", "--episodes=40"])
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_that_is_going_on_is_left_alone(tmp_path):
    """Two processes would write over each other's checkpoints and rows."""
    flags = [*NETWORK, *SHORT, *INDEPENDENT, "--episodes=100000", f"--run_dir={tmp_path}", "--run_name=busy"]
    process = start(train_a2c, flags)
    try:
        while process.is_alive() and not list(tmp_path.glob("*/busy/checkpoints/*.pt")):
            time.sleep(0.05)
        run = run_of(tmp_path, "busy")
        told = r"^another process is at work on the run [^\n]*; wait until it ends, or stop it$"
        with pytest.raises(ConfigError, match=told):
            train_a2c.train([f"--resume={run}"])
        assert process.is_alive()
    finally:
        kill(process, 0)
    with claimed(run):  # a process that was killed holds nothing
        pass


def test_an_interrupted_run_says_how_to_go_on_and_loses_nothing(whole, tmp_path):
    flags = [*NETWORK, *SHORT, *INDEPENDENT, "--checkpoint_every=0", f"--run_dir={tmp_path}", "--run_name=stopped"]
    errors = tmp_path / "errors.txt"
    process = start(train_a2c, flags, errors)
    await_text(process, errors, "episodes")  # it has begun to learn
    os.kill(process.pid, random.choice([signal.SIGINT, signal.SIGTERM]))
    process.join()
    run = run_of(tmp_path, "stopped")
    assert process.exitcode == 130
    lines = errors.read_text().splitlines()
    assert "stopping at the end of this update; Ctrl-C again stops at once, at the last checkpoint" in lines
    assert lines[-1] == f"stopped; continue with --resume={run}"
    (checkpoint,) = (run / "checkpoints").iterdir()  # although there were to be none
    assert 0 < int(checkpoint.stem.split("_")[1].split("-")[0]) < 32
    train_a2c.train([f"--resume={run}", "--checkpoint_every=4"])
    assert_same_run(whole("a2c"), run)


def test_a_full_disk_costs_a_warning_and_an_error_at_the_end(whole, tmp_path):
    """metrics.csv still fits, checkpoints do not."""
    flags = [*NETWORK, *SHORT, *INDEPENDENT, f"--run_dir={tmp_path}", "--run_name=full", "--no-progress"]
    process = start(train_a2c, flags, tmp_path / "errors.txt", file_size=20_000)
    process.join()
    run = run_of(tmp_path, "full")
    warning, error = (tmp_path / "errors.txt").read_text().splitlines()
    assert process.exitcode == 1
    assert warning == "no checkpoint at 4 episodes: File too large; every update tries again"
    assert error == f"error: cannot write {run / 'final.zip'}: File too large; continue with --resume={run}"
    assert not list((run / "checkpoints").iterdir()) and not (run / "final.zip").exists()
    assert not (run / "rule.json").exists()
    train_a2c.train([f"--resume={run}"])
    assert_same_run(whole("a2c"), run)


@pytest.mark.slow
def test_wandb_that_has_no_room_costs_nothing_else(tmp_path):
    """Its file is by far the largest of a run, and the first that does not fit."""
    flags = [
        *NETWORK,
        *SHORT,
        *INDEPENDENT,
        f"--run_dir={tmp_path}",
        "--run_name=full",
        "--episodes=400",
        "--wandb=offline",
    ]
    process = start(train_a2c, flags, tmp_path / "errors.txt", file_size=500_000)
    process.join()
    assert process.exitcode == 0
    run = run_of(tmp_path, "full")
    (cut,) = run.glob("wandb/offline-run-*/run-*.wandb")
    assert cut.stat().st_size > 499_000
    assert Checkpoints(run / "checkpoints").newest()["episodes"] == 400 and (run / "final.zip").exists()
    with (run / "metrics.csv").open(newline="") as file:
        assert [row["time/episodes"] for row in csv.DictReader(file) if row["rollout/reward"]][-1] == "400"


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_costs_wandb_nothing(tmp_path):
    disk, errors = tmp_path / "disk", tmp_path / "errors.txt"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of our own takes the right to mount one")
    try:
        flags = [*NETWORK, *SHORT, *INDEPENDENT, f"--run_dir={disk}", "--run_name=full", "--episodes=400"]
        process = start(train_a2c, [*flags, "--wandb=offline"], errors)
        await_text(process, errors, " episodes ")
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(1 << 20)):
                pass
        await_text(process, errors, "W&B waits: its disk has 0 MiB left")
        (disk / "ballast").unlink()
        process.join()
        run = run_of(disk, "full")
        (logged,) = run.glob("wandb/offline-run-*/run-*.wandb")
        with (run / "metrics.csv").open(newline="") as file:
            assert wandb_steps(logged) == [int(row["global_step"]) for row in csv.DictReader(file)]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning_rate=0.5"], "learning_rate is 0.0003 in the run, got 0.5; only episodes, checkpoint_every"),
        (["--seed=2", "--n_exc=9"], "seed is 1 in the run, got 2; n_exc is 8 in the run, got 9; only"),
        (["--episodes=20"], "episodes must be at least the 32 of the run to resume, got 20"),
        (["--preset=unsup1"], "so --preset=unsup1 cannot be given, too"),
        (["--env=SNNPlastic-Semi-v0"], "so --env=SNNPlastic-Semi-v0 cannot be given, too"),
    ],
)
def test_flags_that_contradict_the_run_are_refused_in_one_line(flags, message, whole, capsys):
    before = (whole("a2c") / "config.yaml").read_text()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        train_a2c.train([f"--resume={whole('a2c')}", *flags])
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1
    assert (whole("a2c") / "config.yaml").read_text() == before


def test_what_is_no_run_of_this_program_is_refused_in_one_line(whole, tmp_path, capsys):
    def refusal(program, run: Path) -> str:
        with pytest.raises(SystemExit):
            program.train([f"--resume={run}"])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    run = whole("a2c")
    capsys.readouterr()
    assert "no run to resume at" in refusal(train_a2c, tmp_path / "none")
    assert "another program or version: it lacks advantage_scope, lacks batch_size" in refusal(train_ppo, run)
    (tmp_path / "config.yaml").write_text("episodes: 3\n")
    assert "is no configuration of a run: its env is None" in refusal(train_a2c, tmp_path)
