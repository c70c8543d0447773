"""Workload of the benchmarks: Diehl-Cook networks with image inputs, and their events."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from program import BenchmarkConfig
from timing import Sampler, timed
from torch import Tensor

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import LocalState, SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.formula import default_terms
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.rules import Rule

ENV_ID = "SNNPlastic-Unsup1-v0"


class Sample(NamedTuple):
    """Some events of an episode, each with its own histories."""

    history: Tensor  # (n, 2, K) uint8
    weight: Tensor  # (n, 1)


def environment(config: BenchmarkConfig, num_envs: int = 1, **settings: Any) -> PlasticityVectorEnv:
    """Return networks at the first step of their first image."""
    sizes: dict[str, Any] = {"dataset": config.dataset, "n_exc": config.n_exc, "num_steps": config.num_steps}
    env = PlasticityVectorEnv(ENV_ID, num_envs, **({**sizes, "history_length": config.num_steps} | settings))
    env.reset(seed=config.seed)
    return env


def rule_network(seed: int) -> RuleNetwork:
    """Return the networks of a fresh policy with its default sizes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_network(Architecture())


def formula_network(seed: int) -> RuleNetwork:
    """Return a formula of the default terms with small coefficients drawn at random."""
    network = new_network(Architecture(formula_terms=tuple(default_terms(()))))
    generator = torch.Generator().manual_seed(seed)
    for head in network.heads:
        for values in head.parameters():
            torch.nn.init.normal_(values, std=0.02, generator=generator)
    return network


def show_images(env: PlasticityVectorEnv, rule: Rule, count: int = 1) -> int:
    """Simulate the present image and those after it to the end; return the number of events in all lifetimes."""
    return int(sum(result.num_events.sum() for result in env.run_episodes(rule, count)))


def image_sampler(env: PlasticityVectorEnv, rule: Rule, images: int) -> Sampler:
    """Return a sampler of the seconds per image and lifetime by a rule; a sample is so many images, or one each."""
    count = max(images // env.num_envs, 1)

    def show() -> int:
        show_images(env, rule, count)
        return count * env.num_envs

    return timed(show)


def steps_of_image(env: PlasticityVectorEnv, rule: Rule) -> list[SynapseEvents]:
    """Simulate the present image to its end; return the events of each step with any."""
    steps = []
    while (events := env.events()) is not None:
        if len(events.weight):
            steps.append(events)
        env.apply(rule(events))
    env.finish()
    return steps


def sample_events(steps: list[SynapseEvents], count: int, seed: int) -> Sample:
    """Return `count` events drawn uniformly, with replacement, from all of `steps`."""
    sizes = torch.tensor([len(events.weight) for events in steps])
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(int(sizes.sum()), (count,), generator=generator)
    owner = torch.searchsorted(sizes.cumsum(0), chosen, right=True)
    place = chosen - (sizes.cumsum(0) - sizes)[owner]
    history, weight = [], []
    for step, events in enumerate(steps):
        mine = place[owner == step]
        pair = events.pair[mine]
        rows = torch.stack([events.pair_pre[pair], events.pair_post[pair]], dim=1)
        history.append(unpack(events.histories[rows], events.history_length))
        weight.append(events.weight[mine].unsqueeze(1))
    return Sample(torch.cat(history), torch.cat(weight))


def rollout(env: PlasticityVectorEnv, events_per_episode: int, seed: int) -> LocalState:
    """Return the events sampled by a learner from one image of each lifetime (0: all)."""
    buffer = EventRolloutBuffer(
        1,
        env.single_observation_space,  # type: ignore[arg-type]
        env.single_action_space,
        n_envs=env.num_envs,
        options=EventOptions(events_per_episode=events_per_episode),
        seed=seed,
    )
    while (events := env.events()) is not None:
        nothing = torch.zeros_like(events.weight)
        buffer.add(events, nothing, nothing, int(env.engine.steps[0]))
        env.apply(nothing)
    buffer.end_episode(env.finish())
    return buffer.samples().state


def convolved_means(network: RuleNetwork, sample: Sample) -> Tensor:
    """Return the rule's output without a table, event by event: convolutions, then the head over [h; w]; (n,)."""
    features = network.front(sample.history)  # (n, F)
    head = network.heads[0]
    all_pairs = torch.arange(len(features))
    return torch.tanh(head(head.pair_part(features), all_pairs, sample.weight))  # type: ignore[operator]
