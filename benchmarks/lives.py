"""Whole images by compiled loops: teaching in Semi, evaluation, scaling of cost, and speed-up by a second thread."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from program import BenchmarkConfig, json_flag, run
from scaling import slope
from timing import Sampler, take_turns, timed
from workload import environment, image_sampler, show_images

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.responses import responses
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.tasks.image_task import image_task

EVALUATED_NEURONS, EVALUATED_LIFETIMES, EVALUATED_IMAGES = 16, 32, 64
DELTA_LIFETIMES = (1, 16)  # lifetimes of Semi

KEYS = {
    "dataset": "images",
    "delta_one": "images per second, Semi 784-256-128-10, T = 16, feedback, delta rule, 1 lifetime",
    "delta_many": "the same with 16 lifetimes",
    "judged": "images per second of 32 frozen lifetimes of 16 neurons each",
    "by_n_exc": "seconds per image with STDP, one lifetime, by number of excitatory neurons",
    "by_num_envs": "seconds per image of all lifetimes with STDP, 400 neurons each, by number of lifetimes",
    "slope_n_exc": "exponent of cost over neurons",
    "slope_num_envs": "exponent of cost over lifetimes",
    "second_thread": "wall time of 64 lifetimes with STDP, 20 images in one call, in one thread over that in two",
}


@config_class
class LivesConfig(BenchmarkConfig):
    """Measure whole images in compiled loops."""

    json: bool = json_flag(KEYS)
    rounds: int = setting(5, "Rounds; 2 if quick.", section="Benchmark", ge=1)
    sizes: tuple[int, ...] = setting(
        (100, 400, 1600, 6400), "Numbers of excitatory neurons; the first two if quick.", section="Workload", ge=1
    )
    lifetimes: tuple[int, ...] = setting(
        (1, 4, 16, 64, 256), "Numbers of lifetimes; the first three if quick.", section="Workload", ge=1
    )


def measure(config: LivesConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    rounds = config.at_most(config.rounds, 2)
    sizes = config.sizes[:2] if config.quick else config.sizes
    lifetimes = config.lifetimes[:3] if config.quick else config.lifetimes
    samplers: dict[str, Sampler] = {f"delta {count}": delta_sampler(config, count) for count in DELTA_LIFETIMES}
    samplers["judged"] = evaluation_sampler(config)
    stdp = make_rule("stdp")
    samplers |= {f"neurons {size}": image_sampler(environment(config, n_exc=size), stdp, 32) for size in sizes}
    samplers |= {f"lifetimes {count}": image_sampler(environment(config, count), stdp, 32) for count in lifetimes}
    samples = take_turns(samplers, rounds)
    by_n_exc = {str(size): samples.median(f"neurons {size}") for size in sizes}
    by_num_envs = {str(count): count * samples.median(f"lifetimes {count}") for count in lifetimes}
    return {
        "dataset": image_task(environment(config).engine.task).dataset.name,
        "delta_one": 1 / samples.median(f"delta {DELTA_LIFETIMES[0]}"),
        "delta_many": 1 / samples.median(f"delta {DELTA_LIFETIMES[1]}"),
        "judged": 1 / samples.median("judged"),
        "by_n_exc": by_n_exc,
        "by_num_envs": by_num_envs,
        "slope_n_exc": slope(sizes, list(by_n_exc.values())),
        "slope_num_envs": slope(lifetimes, list(by_num_envs.values())),
        "second_thread": second_thread(config, rounds),
    }


def delta_sampler(config: LivesConfig, num_envs: int) -> Sampler:
    """Return a sampler of the seconds per image and lifetime in Semi with its delta rule."""
    settings: dict[str, Any] = {"dataset": config.dataset, "third_factor": "feedback"}
    env = PlasticityVectorEnv("SNNPlastic-Semi-v0", num_envs, **settings)
    env.reset(seed=config.seed)
    return image_sampler(env, make_rule("delta"), 64)


def evaluation_sampler(config: LivesConfig) -> Sampler:
    """Return a sampler of the seconds per image and lifetime of frozen networks."""
    env = environment(config, EVALUATED_LIFETIMES, n_exc=EVALUATED_NEURONS)
    images = image_task(env.engine.task).dataset.test.images[:EVALUATED_IMAGES]

    def evaluate() -> int:
        responses(env.engine, images, np.random.default_rng(config.seed))
        return EVALUATED_LIFETIMES * len(images)

    return timed(evaluate)


def second_thread(config: LivesConfig, rounds: int) -> float:
    """Return the wall time of one thread over that of two."""
    env, rule = environment(config, 16 if config.quick else 64), make_rule("stdp")
    samplers: dict[str, Sampler] = {}
    for threads in (1, 2):

        def image(threads: int = threads) -> None:
            torch.set_num_threads(threads)
            show_images(env, rule, 20)

        samplers[str(threads)] = timed(image, clock=time.perf_counter)
    try:
        return take_turns(samplers, rounds).ratio("1", "2")
    finally:
        torch.set_num_threads(1)


if __name__ == "__main__":
    run(LivesConfig, KEYS, measure)
