"""The gradient ceiling: supervised regression of -g on what a synapse sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.agents.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.agents.heads import RuleNetwork
from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

TINY = 1e-9  # learning rate at which delta_d = 1 leaves networks as they are, while reward / TINY is still -g


def gradient_ceiling(config: CeilingConfig, env_config: GradConfig) -> dict[str, Any]:
    """Train a network to predict -g, and measure it on held-out images and fresh networks.

    The network is the rule's own: front, hidden layers, one linear output. Targets are divided by their layer's root
    mean square, so that every layer counts.

    Returns:
        `cosine` and `sign_agreement` of predictions with -g, a list over layers each (events with g = 0 count in the
        cosine and not in the agreement), `images` learned from, and `events` measured on.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    num_layers = len(env_config.layer_scalars)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = RuleNetwork(1, False, 1, (128, 128), (16, 32), (5, 5))
    optimizer = torch.optim.Adam([*network.front.parameters(), *network.critic.parameters()], lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    env = _networks(config, env_config, "train")
    squares = torch.zeros(num_layers)
    seen = torch.zeros(num_layers)
    for _ in range(-(-config.images // config.num_envs)):
        samples, layer = _observe(env, config.events_per_image, config.seed)
        seen += torch.bincount(layer, minlength=num_layers)
        squares += torch.bincount(layer, samples.returns.square(), minlength=num_layers).float()
        scale = (squares / seen.clamp(min=1)).sqrt().clamp(min=1e-12)  # (L,) running root mean square of g
        for _ in range(config.n_epochs):
            for part in torch.randperm(len(layer), generator=generator).split(config.batch_size):
                batch = samples.take(part).compact()
                prediction = network.value(network.features(batch.state), batch.state)  # (E,)
                loss = (prediction - batch.returns / scale[layer[part]]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return _measure(network, _networks(config, env_config, "validation"), config, num_layers)


def _networks(config: CeilingConfig, env_config: GradConfig, split: str) -> PlasticityVectorEnv:
    settings = to_dict(env_config) | {
        "split": split,
        "eta": TINY,
        "penalty": 0.0,
        "lifetime_length": config.images_per_network,
    }
    env = PlasticityVectorEnv("SNNPlastic-Grad-v0", num_envs=config.num_envs, **settings)
    env.reset(seed=config.seed)
    return env


def _observe(env: PlasticityVectorEnv, events_per_image: int, seed: int) -> tuple[EventSamples, Tensor]:
    """Show one image to every network; return its events with -g as returns, and the layer of each, int64 (E,)."""
    buffer = EventRolloutBuffer(
        1,
        env.single_observation_space,  # type: ignore[arg-type]
        env.single_action_space,
        env.engine.device,
        n_envs=env.num_envs,
        events_per_image=events_per_image,
        seed=seed,
    )
    step = 0
    while (events := env.events()) is not None:
        step += 1
        # The projection travels as the action: it is the same event's.
        buffer.add(events, events.projection.float(), torch.zeros_like(events.weight), step)
        env.apply(torch.ones_like(events.weight))
    result = env.finish()
    assert result.event_rewards is not None
    buffer.end_episode(result.reward, step, [rewards / TINY for rewards in result.event_rewards])
    samples = buffer.samples()
    return samples, samples.actions.long()


@torch.no_grad()
def _measure(network: RuleNetwork, env: PlasticityVectorEnv, config: CeilingConfig, num_layers: int) -> dict[str, Any]:
    sums = torch.zeros(5, num_layers, dtype=torch.float64)  # product, predictions, gradients, told, agreeing
    events = 0
    for _ in range(-(-config.eval_images // config.num_envs)):
        samples, layer = _observe(env, config.events_per_image, config.seed + 1)
        prediction = network.value(network.features(samples.state), samples.state)
        told = samples.returns != 0
        agree = told & (prediction.sign() == samples.returns.sign())
        columns = (prediction * samples.returns, prediction.square(), samples.returns.square(), told, agree)
        for total, column in zip(sums, columns, strict=True):
            total += torch.bincount(layer, column.double(), minlength=num_layers)
        events += len(layer)
    product, predictions, gradients, told_sum, agreeing = sums
    return {
        "cosine": (product / (predictions * gradients).sqrt()).tolist(),
        "sign_agreement": (agreeing / told_sum).tolist(),
        "images": config.images,
        "events": events,
    }
