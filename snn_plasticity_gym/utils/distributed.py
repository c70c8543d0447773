"""Distributed learning of one rule, with separate lifetimes per process: `torchrun`, gloo on CPUs, NCCL on GPUs.

Every process simulates its share of the lifetimes, and sums are taken over all. The processes must call the methods of
`World` in the same order; in one process, each method returns what it was given.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from snn_plasticity_gym.config.launch import launched_size
from snn_plasticity_gym.config.schema import ConfigError

TIMEOUT = timedelta(minutes=30)  # for an unresponsive process; one that dies is noticed at once


class LostProcessError(OSError):
    """Another process has ended or does not respond."""


class Moments(NamedTuple):
    """Moments of numbers distributed over all processes."""

    number: int
    mean: Tensor  # ()
    variance: Tensor  # (), divided by the number


class World:
    """The processes of a run.

    Attributes:
        rank: Number of this process, from 0. Process 0 logs and saves.
        size: Number of processes.
    """

    def __init__(self) -> None:
        spread = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if spread else 0
        self.size = dist.get_world_size() if spread else 1

    def share(self, num_lifetimes: int, name: str = "num_envs") -> int:
        """Return the number of lifetimes per process, of a total given by the setting `name`.

        Raises:
            ConfigError: They cannot be shared equally.
        """
        if num_lifetimes % self.size:
            raise ConfigError(
                f"{name} must be a multiple of the {self.size} processes that share them, got {num_lifetimes}"
            )
        return num_lifetimes // self.size

    def own_seed(self, seed: int) -> int:
        """Return a seed that differs between processes; process 0 keeps `seed`."""
        if self.rank == 0:
            return seed
        return int(np.random.SeedSequence(seed, spawn_key=(self.rank,)).generate_state(1)[0])

    def rows(self, num_own: int) -> slice:
        """Return the slice of this process's `num_own` lifetimes among all."""
        return slice(self.rank * num_own, (self.rank + 1) * num_own)

    def all_sum(self, values: Tensor) -> Tensor:
        """Return the sum of all processes' tensors, bit-identical in all of them."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        with _naming_losses():
            dist.all_reduce(total)
        return total

    def total(self, number: float) -> float:
        """Return the sum of all processes' numbers."""
        return self.all_sum(torch.tensor(number, dtype=torch.float64)).item()

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in some process."""
        return self.total(flag) > 0

    def all(self, flag: bool) -> bool:
        """Whether a flag is set in all processes."""
        return self.total(flag) == self.size

    def moments(self, values: Tensor) -> Moments:
        """Return number, mean and variance of all processes' numbers, at least one."""
        number = int(self.total(values.numel()))
        mean = self.all_sum(values.sum()) / number
        return Moments(number, mean, self.all_sum((values - mean).square().sum()) / number)

    def join(self, values: Tensor, dim: int) -> Tensor:
        """Concatenate all processes' tensors, of equal shape, along `dim`."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        with _naming_losses():
            dist.all_gather(parts, values.contiguous())
        return torch.cat(parts, dim=dim)

    def collect(self, value: Any) -> list[Any]:
        """Return every process's object in process 0, and nothing in the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with _naming_losses():
            dist.gather_object(value, values)
        return values or []

    def broadcast(self, value: Any) -> Any:
        """Return the object of process 0."""
        if self.size == 1:
            return value
        values = [value]
        with _naming_losses():
            dist.broadcast_object_list(values)
        return values[0]


@contextlib.contextmanager
def joined_processes(device: str) -> Iterator[World]:
    """Join the process group started by `torchrun`; without it, there is one process.

    Args:
        device: "cpu" or "cuda"; every process of a machine takes a separate GPU.

    Raises:
        ConfigError: There are fewer GPUs than processes.
        LostProcessError: Not all processes joined.
    """
    if launched_size() == 1:
        yield World()
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"every process needs a separate GPU, and there are {torch.cuda.device_count()}; lower "
                "--nproc-per-node, or take --device=cpu"
            )
        torch.cuda.set_device(local)
    with _naming_losses():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=TIMEOUT)
    try:
        yield World()
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _naming_losses() -> Iterator[None]:
    """Convert torch's errors about a lost process to one line."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise LostProcessError(
            f"another process of the run has ended or fallen silent ({reason}); all must be started anew"
        ) from error
