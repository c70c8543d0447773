"""The front through its table against the same front as convolutions, interleaved.

The convolution takes CONVOLUTION_CHUNK pairs a call, where it is about fastest on one core (its activations then
stay in cache); the table takes all pairs at once.
"""

from __future__ import annotations

from typing import Any

import torch
from memory import keep_freed_memory
from program import BenchmarkConfig, json_flag, run
from timing import take_turns, timed
from torch import Tensor
from workload import environment, rollout, rule_network, sample_events, steps_of_image

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.front import SpikeFront
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.tasks.image_task import image_task

CONVOLUTION_CHUNK = 256
RATE = 0.064  # spikes per step of the busiest random history: `max_rate`

KEYS = {
    "dataset": "images of the real events",
    "random_pairs": "pairs at K=100 and K=16, drawn from half as many random histories with 0 to 0.064 spikes a step",
    "random_100": "forward at random pairs, K=100: convolution time over table time, the table being there",
    "random_100_built": "the same with the table's construction in every call",
    "random_100_per_second": "random pairs per second through the table, K=100",
    "random_16": "as random_100, K=16",
    "random_16_built": "as random_100_built, K=16",
    "random_16_per_second": "random pairs per second through the table, K=16",
    "build_seconds": "construction of the table",
    "error": "largest difference of h between table and convolution, all cases above",
    "real_events": "events of the image that was shown to one network",
    "real_pairs": "distinct pairs of histories among them, step by step",
    "real": "forward per event of that image: convolution time over table time",
    "real_built": "the same with one construction for the image",
    "real_distinct": "the same if the convolution, too, were called once per distinct pair",
    "real_error": "largest difference of h at real events",
    "learn_events": "events in a training sample: 1024 of one image of each lifetime (8; quick: 4)",
    "learn_pairs": "distinct pairs among them",
    "learn": "forward and backward per event of that sample: convolution time over table time",
    "learn_all_events": "events of one image of one lifetime, all of which are learned from",
    "learn_all_pairs": "distinct pairs among them",
    "learn_all": "forward and backward per event of that image: convolution time over table time",
    "gradient_error": "largest difference of a gradient over the largest entry of that gradient, float32",
}


@config_class
class FrontConfig(BenchmarkConfig):
    """Measure the policy's front: table against convolution."""

    json: bool = json_flag(KEYS)
    num_pairs: int = setting(16384, "Random pairs.", section="Workload", ge=2)
    keep_memory: bool = setting(
        True, "Let malloc keep freed memory; otherwise tensors are mapped anew (see memory.py).", section="Benchmark"
    )
    rounds: int = setting(12, "Rounds in which all take turns; a third of it if quick.", section="Benchmark", ge=1)


def measure(config: FrontConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    keep_freed_memory(config.keep_memory)
    rounds = -(-config.rounds // 3) if config.quick else config.rounds
    front = rule_network(config.seed).front
    results: dict[str, Any] = {"random_pairs": config.num_pairs}
    errors = []
    for length in (100, 16):
        ratios, error = forward_at_random(front, length, config.num_pairs, rounds, config.seed)
        results |= {f"random_{length}{name}": value for name, value in ratios.items() if name != "seconds"}
        errors.append(error)
    results["error"] = max(errors)
    samplers = take_turns({"build": timed(lambda: front.frozen(config.num_steps))}, rounds=3)
    results["build_seconds"] = samplers.median("build")
    env = environment(config)
    results["dataset"] = image_task(env.engine.task).dataset.name
    results |= forward_at_events(front, env, rounds, config.seed)
    results |= learning(front, config, rounds)
    return results


def forward_at_random(
    front: SpikeFront, length: int, count: int, rounds: int, seed: int
) -> tuple[dict[str, float], float]:
    """Return the results for the keys random_K..., and the largest error."""
    generator = torch.Generator().manual_seed(seed)
    rate = torch.empty(count // 2, 1).uniform_(0, RATE, generator=generator)
    histories = (torch.rand(count // 2, length, generator=generator) < rate).to(torch.uint8)
    pre, post = torch.randint(len(histories), (2, count), generator=generator)
    frozen = front.frozen(length)
    chunk = torch.stack([histories[pre[:CONVOLUTION_CHUNK]], histories[post[:CONVOLUTION_CHUNK]]], dim=1)

    def built() -> int:
        front.frozen(length).pairs(histories, pre, post)
        return count

    with torch.no_grad():
        difference = frozen.pairs(histories, pre, post)[: len(chunk)] - front(chunk)
        samples = take_turns(
            {
                "convolution": timed(lambda: len(front(chunk)), repeats=4),
                "table": timed(lambda: len(frozen.pairs(histories, pre, post))),
                "built": timed(built),
            },
            rounds,
        )
    results = {
        "": samples.ratio("convolution", "table"),
        "_built": samples.ratio("convolution", "built"),
        "_per_second": 1 / samples.median("table"),
    }
    return results, difference.abs().max().item()


def forward_at_events(front: SpikeFront, env: PlasticityVectorEnv, rounds: int, seed: int) -> dict[str, float]:
    """Return the results for the keys real..."""
    steps = steps_of_image(env, make_rule("zero"))
    events = sum(len(step.weight) for step in steps)
    pairs = sum(len(step.pair_pre) for step in steps)
    length = env.config.history_length
    sample = sample_events(steps, CONVOLUTION_CHUNK, seed).history
    frozen = front.frozen(length)

    def table(build: bool) -> int:
        acting = front.frozen(length) if build else frozen
        for step in steps:
            acting.pairs(unpack(step.histories, length), step.pair_pre, step.pair_post)
        return events

    with torch.no_grad():
        histories, pairs_of = sample.flatten(0, 1), 2 * torch.arange(len(sample))
        difference = frozen.pairs(histories, pairs_of, pairs_of + 1) - front(sample)
        samples = take_turns(
            {
                "convolution": timed(lambda: len(front(sample)), repeats=4),
                "table": timed(lambda: table(build=False)),
                "built": timed(lambda: table(build=True)),
            },
            rounds,
        )
    ratio = samples.ratio("convolution", "table")
    return {
        "real_events": events,
        "real_pairs": pairs,
        "real": ratio,
        "real_built": samples.ratio("convolution", "built"),
        "real_distinct": ratio * pairs / events,
        "real_error": difference.abs().max().item(),
    }


def learning(front: SpikeFront, config: FrontConfig, rounds: int) -> dict[str, Any]:
    """Return the results for the keys learn... and gradient_error."""
    results: dict[str, Any] = {}
    for name, num_envs, kept in (("learn", 4 if config.quick else 8, 1024), ("learn_all", 1, 0)):
        env = environment(config, num_envs)
        state = rollout(env, kept, config.seed)
        count, bits = len(state.pair), unpack(state.histories, state.history_length)
        few = torch.randperm(count, generator=torch.Generator().manual_seed(config.seed))[:CONVOLUTION_CHUNK]
        pre, post = state.pair_pre[state.pair[few]], state.pair_post[state.pair[few]]
        chunk = torch.stack([bits[pre], bits[post]], dim=1)

        def table(state: LocalState = state, bits: Tensor = bits) -> int:
            features = front.pairs(bits, state.pair_pre, state.pair_post)
            weight = state.pair.bincount(minlength=len(features)).to(features.dtype)  # events of each pair
            (features.sum(dim=1) * weight).sum().backward()
            return len(state.pair)

        def convolution(chunk: Tensor = chunk) -> int:
            front(chunk).sum().backward()
            return len(chunk)

        samples = take_turns({"convolution": timed(convolution, repeats=2), "table": timed(table)}, rounds)
        results |= {
            f"{name}_events": count,
            f"{name}_pairs": len(state.pair_pre),
            name: samples.ratio("convolution", "table"),
        }
        parameters = list(front.parameters())
        expected = torch.autograd.grad(front(chunk).sum(), parameters)
        actual = torch.autograd.grad(front.pairs(bits, pre, post).sum(), parameters)
        error = max(float((a - e).abs().max() / e.abs().max()) for a, e in zip(actual, expected, strict=True))
        results["gradient_error"] = max(error, results.get("gradient_error", 0.0))
    return results


if __name__ == "__main__":
    run(FrontConfig, KEYS, measure)
