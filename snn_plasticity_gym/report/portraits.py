"""Report section on one network that learns by a rule, by the kind that a task names as `portrait`.

images      a network that is shown images: receptive fields, winners, stability, classification of held-out images
episodes    a network of any task: its episodes, weights, and its last episode
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.evaluation.episode_life import EpisodeLife, record_episodes
from snn_plasticity_gym.evaluation.network_life import Life, record_lifetime
from snn_plasticity_gym.report.episode_section import episode_section
from snn_plasticity_gym.report.network_section import network_section
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.rules.base import Rule

Lived = Life | EpisodeLife


PORTRAITS: dict[str, tuple[Callable[[Rule, str, EnvironmentConfig, int, int], Any], Callable[[Any, str], Section]]] = {
    "images": (record_lifetime, network_section),
    "episodes": (record_episodes, episode_section),
}
"""How to record a network's lifetime, and how to display the record."""


def portray(
    kind: str, rule: Rule, env_id: str, config: EnvironmentConfig, episodes: int, seed: int, prefix: str
) -> tuple[Lived, Section]:
    """Train one fresh network by a rule; return its record, and the section on it.

    Args:
        kind: A key of `PORTRAITS`.
        rule: Plasticity rule.
        env_id: Environment.
        config: Its settings.
        episodes: Episodes to run.
        seed: Of the network and its episodes.
        prefix: Of the names of pictures and tables.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in PORTRAITS:
        raise ConfigError(f"{unknown('portrait', kind, PORTRAITS)}; the task of {env_id} names it")
    live, show = PORTRAITS[kind]
    life = live(rule, env_id, config, episodes, seed)
    return life, show(life, prefix)
