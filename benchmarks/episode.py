"""Whole episodes of Unsup1 with a learned rule called with every event, a list of events at each step."""

from __future__ import annotations

from typing import Any

import torch
from program import BenchmarkConfig, json_flag, run
from scaling import peak_memory, slope, window_seconds
from timing import Parts, Sampler, take_turns, timed
from torch import Tensor
from workload import ENV_ID, convolved_means, environment, rule_network, sample_events, show_images, steps_of_image

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.event_finder import EventFinder
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.front import FrozenFront
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.tasks.image_task import image_task
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

LIFETIMES = 8  # in one batch, as in `train_a2c.py`
HIDDEN = 128  # neurons of each hidden layer of a head
MATRIX_ROWS = 4096  # events of a chunk during rollouts
CONVOLUTION_CHUNK = 256  # events at which the convolution is about fastest
PARTS = {
    "network": (Network, "advance"),
    "events": (EventFinder, "__call__"),
    "front": (FrozenFront, "of_state"),
    "heads": (FrozenRule, "__call__"),
    "writes": (Engine, "write"),
}

KEYS = {
    "dataset": "images",
    "events_per_episode": "events of one lifetime and image, all processed by the learned rule; mean",
    "images_per_second": "one lifetime",
    "events_per_second": "one lifetime",
    "over_convolution": "whole episode: seconds with the front as convolutions, event by event, over seconds with the "
    "table; the former are those of 256 random events of the same episode, times events, plus all that is not the rule",
    "matrix_rate": "measured float32 rate of (4096,128) x (128,128), operations per second",
    "share_of_limit": "time that 2*128*128 operations per event take at that rate, over the time of the episode",
    "images_per_second_8": "the learned rule in 8 lifetimes of one batch, all images together",
    "share_of_limit_8": "share_of_limit of 8 lifetimes",
    "over_convolution_8": "over_convolution of 8 lifetimes, less what is not the rule in the convolution's time",
    "share_of_limit_heads": "the same over the time of the heads alone",
    "split": "share of the episode's time: network, events (finding them), front, heads, writes, rest",
    "by_n_exc": "seconds of ten time steps (41 to 50) by number of excitatory neurons, one lifetime",
    "events_by_n_exc": "events of these steps",
    "slope_n_exc": "slope of the seconds on log-log",
    "slope_n_exc_events": "slope of the events on log-log",
    "by_num_envs": "seconds of ten time steps (41 to 50) by number of lifetimes",
    "slope_num_envs": "slope of the seconds on log-log",
    "peak_memory": "bytes, largest resident set of a process that trains 16 lifetimes (quick: on 30 time steps), "
    "libraries included",
    "base_memory": "bytes, the same of one with the same imports only; null if quick",
    "collect": "seconds per image to collect, A2C, one lifetime, 1024 events an image learned from",
    "collect_all": "the same with all events learned from",
    "update": "seconds per image to update with 1024 events",
    "update_all": "the same with all events",
    "all_over_sample": "collect and update: all events over 1024",
}


@config_class
class EpisodeConfig(BenchmarkConfig):
    """Measure whole episodes with a learned rule on every event."""

    json: bool = json_flag(KEYS)
    rounds: int = setting(5, "Measured images; 1 if quick.", section="Benchmark", ge=1)
    sizes: tuple[int, ...] = setting(
        (100, 200, 400, 800, 1600, 6400), "Excitatory neurons; every other one if quick.", section="Benchmark", ge=1
    )
    lifetimes: tuple[int, ...] = setting(
        (1, 4, 16, 64), "Lifetimes of one batch; at most 16 if quick.", section="Benchmark", ge=1
    )
    memory: bool = setting(True, "Measure the peak memory.", section="Benchmark")


def measure(config: EpisodeConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    results = whole_episodes(config)
    sizes = config.sizes[::2] if config.quick else config.sizes
    counts = [count for count in config.lifetimes if count <= 16 or not config.quick]
    seconds, events = zip(*(window_seconds(config, n_exc=size) for size in sizes), strict=True)
    results |= {
        "by_n_exc": dict(zip(map(str, sizes), seconds, strict=True)),
        "events_by_n_exc": dict(zip(map(str, sizes), events, strict=True)),
        "slope_n_exc": slope(sizes, seconds),
        "slope_n_exc_events": slope(sizes, events),
    }
    seconds = tuple(window_seconds(config, num_envs=count)[0] for count in counts)
    results["by_num_envs"] = dict(zip(map(str, counts), seconds, strict=True))
    results["slope_num_envs"] = slope(counts, seconds)
    results |= learning(config)
    if config.memory:
        results["peak_memory"] = peak_memory(config, images=1)
        results["base_memory"] = None if config.quick else peak_memory(config, images=0)
    return results


def whole_episodes(config: EpisodeConfig) -> dict[str, Any]:
    """Measure episodes event by event, the matrix product and the convolution, interleaved."""
    env, network = environment(config), rule_network(config.seed)
    frozen = FrozenRule(network, config.num_steps)

    def rule(events: SynapseEvents) -> Tensor:
        """Return the output of `frozen`, which itself would be run in compiled loops; see `rules.py`."""
        return frozen(events)

    sample = sample_events(steps_of_image(env, rule), CONVOLUTION_CHUNK, config.seed)
    left, right, out = torch.randn(MATRIX_ROWS, HIDDEN), torch.randn(HIDDEN, HIDDEN), torch.empty(MATRIX_ROWS, HIDDEN)
    parts = Parts(PARTS)
    counts: list[int] = []

    def image() -> int:
        with parts.watch():
            counts.append(show_images(env, rule))
        return counts[-1]

    eight = environment(config, LIFETIMES)

    def product() -> int:
        torch.mm(left, right, out=out)
        return MATRIX_ROWS

    with torch.no_grad():
        samples = take_turns(
            {
                "image": timed(image),
                "images": timed(lambda: show_images(eight, rule)),
                "product": timed(product, repeats=30),
                "convolution": timed(lambda: len(convolved_means(network, sample)), repeats=4),
            },
            1 if config.quick else config.rounds,
        )
    split = parts.shares()
    events = sum(counts) / len(counts)
    outside = 1 - split["front"] - split["heads"]
    return {
        "dataset": image_task(env.engine.task).dataset.name,
        "events_per_episode": events,
        "images_per_second": 1 / (samples.median("image") * events),
        "events_per_second": 1 / samples.median("image"),
        "over_convolution": samples.ratio("convolution", "image") + outside,
        "matrix_rate": 2 * HIDDEN**2 / samples.median("product"),
        "share_of_limit": 1 / samples.ratio("image", "product"),
        "images_per_second_8": 1 / (samples.median("images") * events),
        "over_convolution_8": samples.ratio("convolution", "images"),
        "share_of_limit_8": 1 / samples.ratio("images", "product"),
        "share_of_limit_heads": 1 / samples.ratio("image", "product") / split["heads"],
        "split": split,
    }


def learning(config: EpisodeConfig) -> dict[str, float]:
    """Measure collecting and updating, with a sample of the events and with all of them."""
    methods = {"collect": (EventA2C, "collect_rollouts"), "update": (EventA2C, "train")}
    parts = {}
    samplers: dict[str, Sampler] = {}
    for name, kept in (("", 1024), ("_all", 0)):
        sizes = {"dataset": config.dataset, "n_exc": config.n_exc, "num_steps": config.num_steps}
        env = make_sb3_env(ENV_ID, 1, **sizes, history_length=config.num_steps)
        model = EventA2C("PlasticityPolicy", env, n_steps=1, events_per_episode=kept, seed=config.seed, device="cpu")
        parts[name] = Parts(methods)

        def image(model: EventA2C = model, watch: Parts = parts[name]) -> None:
            with watch.watch():
                model.learn(config.num_steps, reset_num_timesteps=False)

        samplers[name] = timed(image)
    warm_up, rounds = (0, 1) if config.quick else (1, 3)
    samples = take_turns(samplers, rounds, warm_up)
    images = warm_up + rounds
    results = {f"{part}{name}": parts[name].seconds[part] / images for name in parts for part in methods}
    return results | {"all_over_sample": samples.ratio("_all", "")}


if __name__ == "__main__":
    run(EpisodeConfig, KEYS, measure)
