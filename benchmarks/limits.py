"""The minimal cost of an image, its bare arithmetic, compared with whole images: the possible speed-up.

An image needs the random numbers of its input spikes, the sum of the weight rows of spiking inputs in each step, a
decay of every potential and its comparison with a threshold, and, with plasticity, a change of each weight of spiking
neurons. Loops here do only this, with the networks, images and winners of real simulations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from program import BenchmarkConfig, json_flag, run
from timing import Sampler, Samples, take_turns, timed
from workload import environment, image_sampler

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.kernels.squash import A0, A1, A2, A3, A4, A5, B0, B1, B2, B3, B4
from snn_plasticity_gym.networks.diehl_cook import EXC
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.tasks.image_task import image_task
from snn_plasticity_gym.utils.threads import spread

PAIRS, WIDTH, HIDDEN = 64, 32, 128  # pairs of a product, and the sizes of a policy's front and layers
PARTS = ("numbers", "rows", "potentials", "columns")
BARE = (*PARTS, "formula")
RULES = ("zero", "stdp", "target-stdp")
IMAGES = 1280  # of a sample, in all lifetimes, 128 if quick: as many in a call as the loops take

KEYS = {
    "lifetimes": "number of lifetimes in 'many'",
    "bare_one": "microseconds of an image's bare arithmetic by part, one lifetime: random numbers of its input, "
    "sums of weight rows, update and comparison of E's potentials, change of weight columns of spiking E neurons",
    "bare_many": "the same for many lifetimes, whose weights do not fit the caches",
    "whole_one": "microseconds of an image by rule, one lifetime",
    "whole_many": "the same for many lifetimes",
    "share_one": "bare arithmetic over a whole image by rule, one lifetime; without a rule no columns",
    "share_many": "the same for many lifetimes",
    "formula_one": "microseconds of an image to change the weight rows of spiking inputs by tanh of a line in the "
    "weight, in one pass with fused operations, one lifetime",
    "formula_many": "the same for many lifetimes",
    "two_threads": "wall time of the sums of weight rows in one thread over that in two, many lifetimes, a hundred of "
    "each after another, so that its rows are in the caches",
    "pair": "microseconds of the two layers of a policy's head for a pair of histories, as products of whole matrices",
}


@config_class
class LimitsConfig(BenchmarkConfig):
    """Measure the bare arithmetic of an image and whole images."""

    json: bool = json_flag(KEYS)
    rounds: int = setting(15, "Rounds; 2 if quick.", section="Benchmark", ge=1)
    lifetimes: int = setting(64, "Lifetimes of one batch; at most 16 if quick.", section="Workload", ge=1)


def measure(config: LimitsConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    many, rounds = config.at_most(config.lifetimes, 16), config.at_most(config.rounds, 2)
    images = config.at_most(IMAGES, 128)
    results: dict[str, Any] = {"lifetimes": many}
    results["pair"] = 1e6 * take_turns({"pair": pair_sampler(config.seed)}, rounds, warm_up=2).median("pair")
    for name, count in (("one", 1), ("many", many)):
        whole = {name: image_sampler(environment(config, count), make_rule(name), images) for name in RULES}
        samples = take_turns(bare(config, count) | whole, rounds, warm_up=2)
        medians = {part: samples.median(part) for part in (*PARTS, *RULES)}
        results[f"bare_{name}"] = {part: 1e6 * medians[part] for part in PARTS}
        results[f"whole_{name}"] = {rule: 1e6 * medians[rule] for rule in RULES}
        results[f"formula_{name}"] = 1e6 * samples.median("formula")
        results[f"share_{name}"] = {rule: share(samples, rule) for rule in RULES}
    results["two_threads"] = two_threads(config, many, rounds)
    return results


def two_threads(config: LimitsConfig, num_envs: int, rounds: int) -> float:
    """Return the wall time of the sums of weight rows in one thread over that in two."""
    env = environment(config, num_envs)
    task, network = image_task(env.engine.task), env.engine.network
    trains = [task.shown(row).train for row in range(num_envs)]
    weights = network.weights_of(network.projections[0].name).numpy()  # (B, P, N)
    sums = np.zeros((num_envs, weights.shape[2]), np.float32)

    def work(first: int, last: int) -> None:
        for row in range(first, last):
            _add_often(weights[row], trains[row].start, trains[row].neuron, sums[row])

    def sampler(threads: int) -> Sampler:
        def sample() -> None:
            torch.set_num_threads(threads)
            spread(work, num_envs)

        return timed(sample, clock=time.perf_counter)

    try:
        return take_turns({"1": sampler(1), "2": sampler(2)}, rounds, warm_up=2).ratio("1", "2")
    finally:
        torch.set_num_threads(1)


def share(samples: Samples, rule: str) -> float:
    """Return the time of the bare arithmetic over that of a whole image by a rule, the median over rounds."""
    parts = PARTS[:-1] if rule == "zero" else PARTS
    sums = np.sum([samples.rounds[part] for part in parts], axis=0)
    return float(np.median(sums / np.array(samples.rounds[rule])))


def pair_sampler(seed: int) -> Sampler:
    """Return a sampler of the seconds that both layers take for a pair."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((PAIRS, WIDTH), (WIDTH, HIDDEN), (HIDDEN, HIDDEN))
    h, first, second = (torch.randn(*size, generator=generator) for size in sizes)
    hidden, sums = torch.empty(2, PAIRS, HIDDEN)

    def layers() -> int:
        torch.mm(h, first, out=hidden)
        torch.mm(hidden.clamp_(min=0.0), second, out=sums)
        return PAIRS

    return timed(layers, repeats=512)


def bare(config: LimitsConfig, num_envs: int) -> dict[str, Sampler]:
    """Return samplers of the seconds per image and lifetime of each part."""
    env = environment(config, num_envs)
    stdp = make_rule("stdp")
    for _ in range(8):
        result = env.run_episode(stdp)
    task, network = image_task(env.engine.task), env.engine.network
    trains = [task.shown(row).train for row in range(num_envs)]
    weights = network.weights_of(network.projections[0].name).numpy().copy()  # (B, P, N)
    rng = np.random.default_rng(config.seed)
    num_pixels = [int((task.dataset.train.images[task.shown(row).image] > 0).sum()) for row in range(num_envs)]
    wins = [rng.integers(weights.shape[2], size=int(result.spikes[EXC][row])) for row in range(num_envs)]
    sums, changes = np.zeros(weights.shape[2], np.float32), np.full(weights.shape[1], 1e-6, np.float32)
    potentials = np.zeros(weights.shape[2], np.float32)

    def numbers(row: int) -> None:
        rng.random((config.num_steps, num_pixels[row]), dtype=np.float32)

    def rows(row: int) -> None:
        _add_rows(weights[row], trains[row].start, trains[row].neuron, sums)

    def potentials_of_image(row: int) -> None:
        _update_potentials(potentials, sums, config.num_steps)

    def columns(row: int) -> None:
        _change_columns(weights[row], wins[row], changes)

    def formula(row: int) -> None:
        _change_rows(weights[row], trains[row].neuron, np.float32(0.03), np.float32(-0.02), np.float32(1e-6))

    def each(work: Callable[[int], None]) -> Sampler:
        def image() -> int:
            for row in range(num_envs):
                work(row)
            return num_envs

        return timed(image, repeats=max(32 // num_envs, 1))

    return dict(zip(BARE, map(each, (numbers, rows, potentials_of_image, columns, formula)), strict=True))


@numba.njit
def _add_rows(weights: NDArray[Any], start: NDArray[Any], neuron: NDArray[Any], sums: NDArray[Any]) -> None:
    for step in range(len(start) - 1):
        sums[:] = 0.0
        for at in range(start[step], start[step + 1]):
            row = weights[neuron[at]]
            for j in range(len(sums)):
                sums[j] += row[j]


@numba.njit(nogil=True)
def _add_often(weights: NDArray[Any], start: NDArray[Any], neuron: NDArray[Any], sums: NDArray[Any]) -> None:
    for _ in range(100):
        _add_rows(weights, start, neuron, sums)


@numba.njit
def _update_potentials(potentials: NDArray[Any], sums: NDArray[Any], num_steps: int) -> int:
    above = 0
    for _ in range(num_steps):
        for j in range(len(sums)):
            updated = potentials[j] + np.float32(0.01) * (sums[j] - potentials[j])
            potentials[j] = updated
            above += updated > np.float32(1e9)
    return above


@numba.njit
def _change_columns(weights: NDArray[Any], wins: NDArray[Any], changes: NDArray[Any]) -> None:
    for j in wins:
        for i in range(len(changes)):
            weights[i, j] = min(max(weights[i, j] + changes[i], np.float32(0.0)), np.float32(1.0))


@numba.njit(fastmath=True, error_model="numpy")
def _change_rows(weights: NDArray[Any], neuron: NDArray[Any], constant: Any, slope: Any, scale: Any) -> None:
    limit, zero, one = np.float32(9.0), np.float32(0.0), np.float32(1.0)
    for i in neuron:
        row = weights[i]
        for j in range(len(row)):
            x = slope * row[j] + constant
            x = limit if x > limit else x
            x = -limit if x < -limit else x
            s = x * x * np.float32(1.0 / 81.0)
            above = ((((A5 * s + A4) * s + A3) * s + A2) * s + A1) * s + A0
            below = (((B4 * s + B3) * s + B2) * s + B1) * s + B0
            weight = row[j] + scale * (x * above / below)
            weight = zero if weight < zero else weight
            row[j] = one if weight > one else weight


if __name__ == "__main__":
    run(LimitsConfig, KEYS, measure)
