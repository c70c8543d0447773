"""Logging of a rollout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.weight_changes import weight_statistics
from snn_plasticity_gym.utils.distributed import World


def record_rollout(
    logger: Logger,
    env: PlasticityVectorEnv | PlasticityEnv,
    results: Sequence[EpisodeResult],
    num_episodes: int,
    seconds: float,
    world: World,
) -> None:
    """Record rewards and their terms, events, spikes, weights and their changes, and the speed.

    Args:
        logger: Receives the values.
        env: The environment.
        results: Of the episodes of the rollout.
        num_episodes: Of all lifetimes since the start of the run.
        seconds: Duration of the rollout.
        world: The processes; rewards, events and spikes are those of all, weights and their changes the first one's.
    """
    record = logger.record
    own = [_numbers_of(result) for result in results] if world.size > 1 else list(results)
    parts = world.collect(own) or [own]  # only the first process needs those of all
    results = [result for part in parts for result in part]
    record("rollout/reward", torch.cat([result.reward for result in results]).mean().item())
    for name in results[0].terms:
        term = torch.cat([result.terms[name] for result in results])
        if not term.isnan().all():
            record(f"rollout/{name}", term.nanmean().item())
    events = torch.cat([result.num_events for result in results]).float()
    record("rollout/events_per_episode", events.mean().item())
    for name in results[0].spikes:
        spikes = torch.cat([result.spikes[name] for result in results]).float()
        record(f"rollout/spikes_{name}", spikes.mean().item())
    for name, value in weight_statistics(env.engine.network).items():
        record(f"weights/{name}", value)
    for name, value in env.engine.changes.take().items():
        record(f"delta_w/{name}", value)
    for name, weights in env.engine.plastic_weights(row=0).items():
        record(f"weights/{name}_histogram", weights.flatten(), exclude=("stdout", "log", "csv", "json"))
    record("time/episodes", num_episodes)
    record("rollout/episode_steps", torch.cat([result.length for result in results]).float().mean().item())
    record("time/events_per_second", events.sum().item() / seconds)


def _numbers_of(result: EpisodeResult) -> EpisodeResult:
    """Return the logged part of an episode's result, small enough to send."""
    return result._replace(
        reward=result.reward.cpu(),
        terms={name: values.cpu() for name, values in result.terms.items()},
        info={},
        spikes={name: counts.cpu() for name, counts in result.spikes.items()},
        rates=result.rates[:, :0].cpu(),
        num_events=result.num_events.cpu(),
        length=result.length.cpu(),
        truncated=result.truncated.cpu(),
        payments=result.payments[:, :0].cpu(),
        payment_steps=result.payment_steps[:0].cpu(),
        event_rewards=None,
    )
