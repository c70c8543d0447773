"""Initial policy of a training: that of another run, or one that imitates a rule."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.plugins import import_plugins_of
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.evaluation.event_sample import sample_events
from snn_plasticity_gym.learners.imitation import imitate
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.saved import transfer
from snn_plasticity_gym.rules.base import Rule, modulation_of
from snn_plasticity_gym.trainers.sessions.evaluation_session import rule_of
from snn_plasticity_gym.utils.distributed import World

NETWORKS, IMAGES = 8, 40  # networks that run the rule, and most images of each
EVENTS = 50_000  # of every projection, for training and again for testing

Start = LearnedRule | Rule


def read_start(config: SearchConfig, env_config: EnvironmentConfig) -> Start | None:
    """Return the initial policy or rule of the settings; None: random initialisation.

    Raises:
        ConfigError: There is no such policy or rule, or the rule does not fit the environment's settings.
    """
    if config.init_policy:
        import_plugins_of(config.init_policy)
        return load_rule(config.init_policy, env_config.device, trust=True)
    if not config.init_rule:
        return None
    rule = rule_of(config.init_rule, config.env, env_config, seed=0)
    check_modulation("init_rule", config.init_rule, rule, env_config)
    return rule


def check_modulation(setting: str, name: str, rule: Rule, env_config: EnvironmentConfig) -> None:
    """Check that the rule in a setting is for the environment's modulation.

    Raises:
        ConfigError: It is for another one.
    """
    needed = modulation_of(rule)
    if needed and needed != env_config.modulation:
        raise ConfigError(
            f"{setting} {name} is for modulation={needed}, got modulation={env_config.modulation}; set it"
        )


def imitation_line(rule: str, metrics: Mapping[str, float]) -> str:
    """Return a line on the error of an imitation, from the metrics of `begin`."""
    sites = [name.removeprefix("imitation/") for name in metrics if not name.endswith("_error")]
    parts = [
        f"{site} {metrics[f'imitation/{site}']:.2g}, off by {metrics[f'imitation/{site}_error']:.2g}" for site in sites
    ]
    return f"imitates {rule}; root mean squares of delta_d: {'; '.join(parts)}"


def begin(
    start: Start, policy: PlasticityPolicy, world: World, env_id: str, env_config: EnvironmentConfig, seed: int
) -> dict[str, float]:
    """Set a policy's initial parameters.

    Returns:
        For an imitated rule, of each projection: the root mean square of its outputs, and that of the policy's
        deviations from them.
    """
    if isinstance(start, LearnedRule | PlasticityPolicy):
        transfer(start, policy)
        return {}
    metrics: dict[str, float] = {}
    if world.rank == 0:
        metrics = _imitate(start, policy, env_id, env_config, seed)
    policy.load_state_dict(world.broadcast(policy.state_dict()))
    return metrics


def _imitate(
    rule: Rule, policy: PlasticityPolicy, env_id: str, env_config: EnvironmentConfig, seed: int
) -> dict[str, float]:
    images = min(env_config.plastic_episodes or env_config.lifetime_length or IMAGES, IMAGES)
    sample = sample_events(rule, env_id, env_config, NETWORKS, images, 2 * EVENTS, seed)
    half = torch.randperm(len(sample.delta_d), generator=torch.Generator().manual_seed(seed)).tensor_split(2)
    learned, kept = (sample.take(part.to(sample.delta_d.device)) for part in half)
    imitate(policy.rule, learned.events.local_state(), learned.delta_d, seed)
    error = policy.frozen(env_config.history_length)(kept.events) - kept.delta_d  # (N,)
    metrics = {}
    for place, site in enumerate(sample.sites):
        mine = kept.of(place)
        metrics[f"imitation/{site.name}"] = kept.delta_d[mine].square().mean().sqrt().item()
        metrics[f"imitation/{site.name}_error"] = error[mine].square().mean().sqrt().item()
    return metrics
