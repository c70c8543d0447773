"""Trainings in processes of their own, which can be killed."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from snn_plasticity_gym.trainers import evaluate, train_a2c, train_bptt, train_es, train_ppo
from snn_plasticity_gym.trainers.program import run_program

PROGRAMS = {
    "evaluate": evaluate.evaluate,
    "train_a2c": train_a2c.train,
    "train_bptt": train_bptt.train,
    "train_es": train_es.train,
    "train_ppo": train_ppo.train,
}

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
        program: `train_a2c`, `train_bptt`, `train_es`, `train_ppo` or `evaluate`.
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


def kill(process: BaseProcess, delay: float) -> bool:
    """Kill -9 after so many seconds; False if it had ended before."""
    process.join(delay)
    if process.exitcode is not None or process.pid is None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True
