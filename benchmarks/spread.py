"""Communication of processes that train together, and their computation: `torchrun benchmarks/spread.py`.

Bytes and messages are those passed on by one process; gloo determines their transfers. `docs/scaling.md` extrapolates
to more processes.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import time
from collections import Counter
from typing import Any

import torch
from workload import ENV_ID

from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.utils.distributed import World, joined_processes
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

SILENT = 10**9  # updates between two tables on the screen
SUMS = 200  # timed separately
WAYS: dict[str, dict[str, Any]] = {
    "independent": {},
    "rule, last layers": {"exploration": "rule"},
    "rule, heads": {"exploration": "rule", "perturb": "head"},
}


class CountingWorld(World):
    """Counts messages and bytes, and the time until each result."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def _count(self, size: int, began: float) -> None:
        self.counts["messages"] += 1
        self.counts["bytes"] += size
        self.counts["microseconds"] += round(1e6 * (time.perf_counter() - began))

    def all_sum(self, values: torch.Tensor) -> torch.Tensor:
        """As in `World`."""
        began = time.perf_counter()
        total = super().all_sum(values)
        self._count(values.numel() * values.element_size(), began)
        return total

    def join(self, values: torch.Tensor, dim: int) -> torch.Tensor:
        """As in `World`."""
        began = time.perf_counter()
        joined = super().join(values, dim)
        self._count(values.numel() * values.element_size(), began)
        return joined

    def collect(self, value: Any) -> list[Any]:
        """As in `World`."""
        began = time.perf_counter()
        values = super().collect(value)
        self._count(len(pickle.dumps(value)), began)
        return values


def measure(way: str, num_own: int, updates: int, settings: dict[str, Any]) -> dict[str, float]:
    """Return means over updates, for one process; the first two updates (tables, first moments) are excluded."""
    env = make_sb3_env(ENV_ID, num_own, **settings)
    model = EventA2C("PlasticityPolicy", env, seed=0, device="cpu", **WAYS[way])
    world = CountingWorld()
    model._world = model.rollout_buffer._world = world
    if hasattr(model._explore, "_world"):
        model._explore._world = world
    per_update = num_own * world.size * env.unwrapped.vector_env.engine.num_steps
    model.learn(2 * per_update, log_interval=SILENT)
    world.counts.clear()
    began, events = time.process_time(), 0.0
    for _ in range(updates):
        model.learn(per_update, log_interval=SILENT, reset_num_timesteps=False)
        events += num_own * model.logger.name_to_value["rollout/events_per_episode"]
    seconds = time.process_time() - began
    state = pickle.dumps(model.state_dict()["env"])
    return {
        "cpu_seconds": round(seconds / updates, 4),
        "events": round(events / updates),
        "bytes": world.counts["bytes"] / updates,
        "messages": world.counts["messages"] / updates,
        "wall_milliseconds_in_messages": round(world.counts["microseconds"] / updates / 1e3, 2),
        "perturbation_numbers": sum(xi[0].numel() for xi in getattr(model._explore, "drawn", [])),
        "state_bytes_per_lifetime": round(len(state) / num_own),
    }


def milliseconds_of_a_sum(world: World, numbers: int) -> float:
    """Return the median wall time of one sum over all processes, timed separately, on synchronous processes."""
    times = []
    for _ in range(SUMS):
        began = time.perf_counter()
        world.all_sum(torch.zeros(numbers))
        times.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(times), 3)


def main() -> None:
    """Measure, and print one line of JSON from the first process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lifetimes", type=int, default=4, help="of each process")
    parser.add_argument("--updates", type=int, default=5, help="that are measured")
    parser.add_argument("--n_exc", type=int, default=400, help="excitatory neurons")
    parser.add_argument("--num_steps", type=int, default=100, help="time steps of an image; also the history length")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"n_exc": flags.n_exc, "num_steps": flags.num_steps, "history_length": flags.num_steps}
    with joined_processes("cpu") as world:
        results = {way: measure(way, flags.lifetimes, flags.updates, settings) for way in WAYS}
        sums = {f"milliseconds_of_a_sum_of_{n}": milliseconds_of_a_sum(world, n) for n in (1, 50_000, 5_000_000)}
        if world.rank == 0:
            print(json.dumps({"processes": world.size, "lifetimes_each": flags.lifetimes, **sums, **results}))


if __name__ == "__main__":
    main()
