"""Where a training starts: with the policy of another run, or with one that imitates a rule."""

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
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.saved import load_learned, transfer
from snn_plasticity_gym.rules.base import Rule, modulation_of
from snn_plasticity_gym.trainers.sessions.evaluation_session import rule_of
from snn_plasticity_gym.utils.distributed import World

NETWORKS, IMAGES = 8, 40  # that live by the rule, and images that each of them sees at most
EVENTS = 50_000  # of every projection: as many to learn from, and as many to tell how well it was learned

Start = LearnedRule | Rule


def read_start(config: SearchConfig, env_config: EnvironmentConfig) -> Start | None:
    """Return what the settings name; None: the policy starts as it was drawn.

    Raises:
        ConfigError: There is no such policy or rule, or the rule is not for the environment as it is set.
    """
    if config.init_policy:
        import_plugins_of(config.init_policy)
        return load_learned(config.init_policy, env_config.device)
    if not config.init_rule:
        return None
    rule = rule_of(config.init_rule, config.env, env_config, seed=0)
    check_modulation("init_rule", config.init_rule, rule, env_config)
    return rule


def check_modulation(setting: str, name: str, rule: Rule, env_config: EnvironmentConfig) -> None:
    """Refuse a rule, named by a setting, whose weight changes act at another time than the environment's.

    Raises:
        ConfigError: In one line.
    """
    wanted = modulation_of(rule)
    if wanted and wanted != env_config.modulation:
        raise ConfigError(
            f"{setting} {name} is for modulation={wanted}, got modulation={env_config.modulation}; set it"
        )


def imitation_line(rule: str, told: Mapping[str, float]) -> str:
    """Say how well a rule is imitated, from the numbers of `begin`."""
    sites = [name.removeprefix("imitation/") for name in told if not name.endswith("_error")]
    parts = [f"{site} {told[f'imitation/{site}']:.2g}, off by {told[f'imitation/{site}_error']:.2g}" for site in sites]
    return f"imitates {rule}; root mean squares of delta_d: {'; '.join(parts)}"


def begin(
    start: Start, policy: PlasticityPolicy, world: World, env_id: str, env_config: EnvironmentConfig, seed: int
) -> dict[str, float]:
    """Change a policy into what the training starts with.

    Returns:
        For a rule that was imitated, of each projection: the root mean square of its answers, and that of the
        differences between the policy's answers and its own.
    """
    if isinstance(start, LearnedRule | PlasticityPolicy):
        transfer(start, policy)
        return {}
    told: dict[str, float] = {}
    if world.rank == 0:
        told = _imitate(start, policy, env_id, env_config, seed)
    policy.load_state_dict(world.broadcast(policy.state_dict()))
    return told


def _imitate(
    rule: Rule, policy: PlasticityPolicy, env_id: str, env_config: EnvironmentConfig, seed: int
) -> dict[str, float]:
    images = min(env_config.plastic_episodes or env_config.lifetime_length or IMAGES, IMAGES)
    sample = sample_events(rule, env_id, env_config, NETWORKS, images, 2 * EVENTS, seed)
    half = torch.randperm(len(sample.delta_d), generator=torch.Generator().manual_seed(seed)).tensor_split(2)
    learned, kept = (sample.take(part.to(sample.delta_d.device)) for part in half)
    imitate(policy.rule, learned.events.local_state(), learned.delta_d, seed)
    wrong = policy.frozen(env_config.history_length)(kept.events) - kept.delta_d  # (N,)
    told = {}
    for place, site in enumerate(sample.sites):
        mine = kept.of(place)
        told[f"imitation/{site.name}"] = kept.delta_d[mine].square().mean().sqrt().item()
        told[f"imitation/{site.name}_error"] = wrong[mine].square().mean().sqrt().item()
    return told
