"""Trainings in processes of their own, which can be killed, and programs as commands."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import pytest
import torch

from snn_plasticity_gym.trainers import evaluate, evolve, train_a2c, train_bptt, train_es, train_ppo
from snn_plasticity_gym.trainers.sessions.program import run_program

PROGRAMS = {
    "evaluate": evaluate.evaluate,
    "evolve": evolve.evolve,
    "train_a2c": train_a2c.train,
    "train_bptt": train_bptt.train,
    "train_es": train_es.train,
    "train_ppo": train_ppo.train,
}

BOUND = 120  # s, on busy cores; a hang would last for half an hour

# Forked from a process that has imported everything and trained nothing: torch's threads do not survive a fork.
_context = multiprocessing.get_context("forkserver")
SESSIONS = (
    "training_session",
    "bptt_session",
    "evaluation_session",
    "evolve_session",
    "plastic_session",
    "report_session",
)
LATE = ("sklearn.datasets", "torch._dynamo")  # which the first data set and the first optimiser import
_context.set_forkserver_preload(
    ["processes", *LATE, *(f"snn_plasticity_gym.trainers.sessions.{name}" for name in SESSIONS)]
)


def start(
    program: ModuleType,
    arguments: list[str],
    errors: Path | None = None,
    file_size: int = 0,
    environment: dict[str, str] | None = None,
) -> BaseProcess:
    """Start a training, or an evaluation.

    Args:
        program: One of `PROGRAMS`.
        arguments: Its flags.
        errors: File for what it says on stderr.
        file_size: Bytes beyond which no file may grow: writes then fail as on a full disk. 0: no limit.
        environment: Its further environment variables.
    """
    name = program.__name__.rpartition(".")[2]
    process = _context.Process(target=_train, args=(name, arguments, errors, file_size, environment or {}))
    process.start()
    return process


def _train(
    program: str, arguments: list[str], errors: Path | None, file_size: int, environment: dict[str, str]
) -> None:
    os.environ.update(environment)
    if errors is not None:
        os.dup2(os.open(errors, os.O_CREAT | os.O_WRONLY), 2)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    sys.exit(run_program(lambda: PROGRAMS[program](arguments), spreads=bool(environment)))


def command(script: Path, *flags: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program's file as people do, on one thread, in a folder if one is given."""
    line = [sys.executable, str(script), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def forked(
    script: Path, *flags: str, folder: Path | None = None, stdout: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Do the same in a process that has imported everything, which takes seconds; a `stdout` given is not read."""
    with tempfile.TemporaryDirectory() as words:
        said = [Path(words, stream) for stream in ("out", "err")]
        said[0] = stdout or said[0]
        arguments = (script, flags, folder or Path.cwd(), said, dict(os.environ))
        process = _context.Process(target=_run_file, args=arguments)
        process.start()
        process.join(300)
        hangs = process.is_alive()
        process.kill()  # or it would hold up the end of all tests
        assert not hangs and process.exitcode is not None
        return subprocess.CompletedProcess(
            [str(script), *flags], process.exitcode, "" if stdout else said[0].read_text(), said[1].read_text()
        )


def _run_file(
    script: Path, flags: tuple[str, ...], folder: Path, said: list[Path], environment: dict[str, str]
) -> None:
    os.environ.clear()
    os.environ.update(environment | {"OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    os.chdir(folder)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
    sys.argv, sys.path[0] = [str(script), *flags], str(script.parent)
    runpy.run_path(str(script), run_name="__main__")


as_command = pytest.mark.parametrize(
    "run", [pytest.param(forked, id="forked"), pytest.param(command, id="command", marks=pytest.mark.slow)]
)


def refusal(program: ModuleType, arguments: list[str], folder: Path) -> str:
    """Return what a program says on stderr that must fail; its runs go to `folder`, where its words are kept, too."""
    folder.mkdir(exist_ok=True)
    process = start(program, [*arguments, f"--run_dir={folder}"], folder / "errors.txt")
    process.join(BOUND)
    assert process.exitcode
    return (folder / "errors.txt").read_text()


def kill(process: BaseProcess, delay: float) -> bool:
    """Kill -9 after so many seconds; False if it had ended before."""
    process.join(delay)
    if process.exitcode is not None or process.pid is None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


def spread(program: ModuleType, arguments: list[str], errors: Path, number: int = 2) -> list[int | None]:
    """Run a program in several processes, and end all when one has failed, as `torchrun` does; return exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(number):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {name: str(value) for name, value in told.items()}
        processes.append(start(program, arguments, errors / f"{rank}.txt", environment=environment))
    deadline = time.monotonic() + BOUND
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        if any(process.exitcode for process in processes):
            for process in processes:
                process.terminate()
        time.sleep(0.02)
    return [process.exitcode for process in processes]
