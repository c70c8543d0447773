"""Trainings in processes of their own, which can be killed."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from snn_plasticity_gym.trainers import evaluate, evolve, train_a2c, train_bptt, train_es, train_ppo
from snn_plasticity_gym.trainers.program import run_program

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
_context.set_forkserver_preload(
    ["processes", "snn_plasticity_gym.trainers.session", "snn_plasticity_gym.trainers.bptt_session"]
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
