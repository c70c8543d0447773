"""The gradient ceiling: supervised regression of -g on a synapse's local inputs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.reward import JUDGE_SEED, reward_of
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.rules.base import Rule

TINY = 1e-12  # learning rate without effect on networks, while reward / (TINY delta_d) is still -g


def gradient_ceiling(config: CeilingConfig, env_config: GradConfig) -> dict[str, Any]:
    """Train a network to predict -g, and evaluate it on held-out images and fresh networks.

    The network is that of the learned rule: front, hidden layers, one linear output. Targets are divided by their
    layer's root mean square, so that every layer counts.

    Returns:
        The measures of `follows_gradient` for the predictions, and `images` learned from.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    num_layers = len(env_config.layer_scalars)
    env = _networks(config, env_config)
    device = env.engine.device
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = new_network(Architecture(extra_keys=("layer",))).to(device)
    optimizer = torch.optim.Adam([*network.front.parameters(), *network.critic.parameters()], lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    squares = torch.zeros(num_layers, device=device)
    seen = torch.zeros(num_layers, device=device)
    for _ in range(-(-config.episodes // config.num_envs)):
        samples, layer = _observe(env, config.events_per_episode, config.seed)
        seen += torch.bincount(layer, minlength=num_layers)
        squares += torch.bincount(layer, samples.returns.square(), minlength=num_layers).float()
        scale = (squares / seen.clamp(min=1)).sqrt().clamp(min=1e-12)  # (L,) running root mean square of g
        for _ in range(config.n_epochs):
            for part in torch.randperm(len(layer), generator=generator).to(device).split(config.batch_size):
                batch = samples.take(part).compact()
                prediction = network.value(network.features(batch.state), batch.state)  # (E,)
                loss = (prediction - batch.returns / scale[layer[part]]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return {**follows_gradient(_Prediction(network), config, env_config), "episodes": config.episodes}


def follows_gradient(rule: Rule, config: CeilingConfig, env_config: GradConfig) -> dict[str, list[float]]:
    """Measure how well a rule's weight changes follow -g, on held-out images and fresh networks with fixed weights.

    Returns:
        `cosine` and `sign_agreement`, as the environment measures them for every rule, a list over layers each; NaN
        where the rule changes nothing.
    """
    settings = _fixed_networks(config, env_config)
    report = reward_of(rule, config.env, settings, config.num_envs, config.eval_episodes, JUDGE_SEED)
    layers = range(1, len(env_config.layer_scalars) + 1)
    measures = ("cosine", "sign_agreement")
    return {name: [report.terms.get(f"{name}_{layer}", math.nan) for layer in layers] for name in measures}


def _fixed_networks(config: CeilingConfig, env_config: GradConfig) -> GradConfig:
    """Return settings that keep weights fixed and renew networks often."""
    return dataclasses.replace(env_config, eta=TINY, penalty=0.0, lifetime_length=config.episodes_per_network)


def _networks(config: CeilingConfig, env_config: GradConfig) -> PlasticityVectorEnv:
    env = PlasticityVectorEnv(config.env, num_envs=config.num_envs, **to_dict(_fixed_networks(config, env_config)))
    env.reset(seed=config.seed)
    return env


def _observe(env: PlasticityVectorEnv, events_per_episode: int, seed: int) -> tuple[EventSamples, Tensor]:
    """Show one image to every network; return its events with -g as returns, and the layer of each, int64 (E,)."""
    buffer = EventRolloutBuffer(
        1,
        env.single_observation_space,  # type: ignore[arg-type]
        env.single_action_space,
        env.engine.device,
        n_envs=env.num_envs,
        options=EventOptions(events_per_episode=events_per_episode),
        seed=seed,
    )
    while (events := env.events()) is not None:
        # The projection is stored in the field of the action.
        buffer.add(events, events.projection.float(), torch.zeros_like(events.weight), int(env.engine.steps[0]))
        env.apply(torch.ones_like(events.weight))
    result = env.finish()
    assert result.event_rewards is not None
    buffer.end_episode(result._replace(event_rewards=[rewards / TINY for rewards in result.event_rewards]))
    samples = buffer.samples()
    return samples, samples.actions.long()


class _Prediction:
    """The network's prediction of -g as a rule; scaled down, so that the clip of weight changes never cuts it."""

    def __init__(self, network: RuleNetwork) -> None:
        self._network = network

    def __call__(self, events: SynapseEvents) -> Tensor:
        state = events.local_state()
        return 0.01 * self._network.value(self._network.features(state), state)
