"""Whole images through Unsup1 with hand-written and learned rules, one lifetime and many."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from program import BenchmarkConfig, json_flag, run
from rivals import Rival
from timing import Sampler, take_turns, timed
from workload import environment, formula_network, rule_network, show_images

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.rules import Rule, make_rule
from snn_plasticity_gym.tasks.image_task import image_task

IMAGES = 1280  # of a sample by a rule that is fast, in all lifetimes, 128 if quick: as many in a call as loops take
HAND_WRITTEN = ("zero", "stdp", "target-stdp")

KEYS = {
    "dataset": "images",
    "lifetimes": "number of lifetimes that 'many' means",
    "one": "images per second by rule, one lifetime",
    "many": "images per second by rule, many lifetimes; the learned rule's only if not quick",
    "events_one": "events per image by rule, one lifetime",
    "formula_over_stdp_one": "time of an image by a formula of ten terms over that with STDP, one lifetime",
    "formula_over_stdp_many": "the same for many lifetimes",
    "events_many": "events per image by rule, many lifetimes",
    "stdp_over_zero": "time of an image with STDP over that without any rule, one lifetime: what STDP itself costs",
    "stdp_over_zero_many": "the same for many lifetimes",
    "bindsnet_one": "images per second of BindsNET's DiehlAndCook2015 with STDP, batch 1; null without its interpreter",
    "bindsnet_many": "the same with a batch as large as the lifetimes are many, summed into one weight matrix",
    "over_bindsnet_one": "images per second with stdp over BindsNET's, batch 1; I -> E learns here and not there",
    "over_bindsnet_many": "the same for many",
    "learned_over_bindsnet_one": "images per second with the learned rule over those of BindsNET's STDP, batch 1",
    "learned_over_bindsnet_many": "the same for many, only if not quick",
}


@config_class
class RulesConfig(BenchmarkConfig):
    """Measure images per second with hand-written rules and a learned one."""

    json: bool = json_flag(KEYS)
    rounds: int = setting(5, "Rounds for one lifetime; 2 if quick. Many lifetimes: a third.", section="Benchmark", ge=1)
    lifetimes: int = setting(64, "Lifetimes side by side; at most 16 if quick.", section="Workload", ge=1)
    bindsnet_python: str | None = setting(
        None, "Interpreter of an environment with BindsNET, to compare with.", section="Others"
    )


def measure(config: RulesConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    many, rounds = config.at_most(config.lifetimes, 16), config.at_most(config.rounds, 2)
    learned = FrozenRule(rule_network(config.seed), config.num_steps)
    rules: dict[str, Rule] = {name: make_rule(name) for name in HAND_WRITTEN}
    rules["formula"] = FrozenRule(formula_network(config.seed), config.num_steps)
    results: dict[str, Any] = {"lifetimes": many}
    for name, count, turns in (("one", 1, rounds), ("many", many, -(-rounds // 3))):
        answering = rules if name == "many" and config.quick else rules | {"learned": learned}
        results |= compare(config, name, count, answering, turns)
    return results


def compare(config: RulesConfig, name: str, num_envs: int, rules: dict[str, Rule], rounds: int) -> dict[str, Any]:
    """Return the results for the keys of `name`: one or many lifetimes."""
    events: dict[str, list[float]] = {rule: [] for rule in rules}
    samplers: dict[str, Sampler] = {}
    for rule_name, rule in rules.items():
        env = environment(config, num_envs)  # each rule has separate networks
        images = 1 if rule_name == "learned" else -(-config.at_most(IMAGES, 128) // num_envs)

        def show(
            env: PlasticityVectorEnv = env,
            rule: Rule = rule,
            images: int = images,
            counts: list[float] = events[rule_name],
        ) -> int:
            counts.append(show_images(env, rule, images) / images)
            return images * num_envs

        samplers[rule_name] = timed(show)
    with ExitStack() as stack:
        if config.bindsnet_python:
            shown = Path(stack.enter_context(tempfile.TemporaryDirectory()), "images.pt")
            torch.save(image_task(env.engine.task).dataset.train.images[:64].clone(), shown)
            settings = {
                "n_exc": config.n_exc,
                "num_steps": config.num_steps,
                "max_rate": image_task(env.engine.task).config.max_rate,
            }
            rival = Rival(config.bindsnet_python, "bindsnet", batch=num_envs, images=str(shown), **settings)
            stack.enter_context(rival)
            samplers["bindsnet"] = lambda: rival() / num_envs
        samples = take_turns(samplers, rounds)
    results = {
        "dataset": image_task(env.engine.task).dataset.name,
        name: {rule: 1 / samples.median(rule) for rule in rules},
        f"events_{name}": {rule: sum(counts) / (len(counts) * num_envs) for rule, counts in events.items()},
        "stdp_over_zero" + "_many" * (name == "many"): samples.ratio("stdp", "zero"),
        f"formula_over_stdp_{name}": samples.ratio("formula", "stdp"),
    }
    if config.bindsnet_python:
        results[f"bindsnet_{name}"] = 1 / samples.median("bindsnet")
        results[f"over_bindsnet_{name}"] = samples.ratio("bindsnet", "stdp")
        if "learned" in rules:
            results[f"learned_over_bindsnet_{name}"] = samples.ratio("bindsnet", "learned")
    return results


if __name__ == "__main__":
    run(RulesConfig, KEYS, measure)
