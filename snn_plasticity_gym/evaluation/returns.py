"""Episode returns of networks of any task before, during and after learning by a rule.

Axes: B networks, K tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import TEST_SEED
from snn_plasticity_gym.evaluation.curves import Cohort, Watcher
from snn_plasticity_gym.evaluation.task_facts import learning_settings
from snn_plasticity_gym.evaluation.unsupervised import Means, summary
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.constant import ZeroRule

RETURN, LENGTH = "return", "steps"  # of an episode: its summed reward, and its time steps
TERM = "terms/"  # before the name of a term of the reward


class ReturnCurve(NamedTuple):
    """Returns of B networks that learned by one rule; means over episodes, float64, NaN where there is no value."""

    episodes: list[int]  # done at each of K tests, the first before learning, the last after it
    tests: dict[str, Tensor]  # (K, B) each: `RETURN`, `LENGTH` and the terms of the reward, with frozen weights
    learning: dict[str, Tensor]  # (B,) each: the same of the episodes learned from; empty if there were none

    @classmethod
    def joined(cls, parts: Sequence[ReturnCurve]) -> ReturnCurve:
        """Concatenate the curves of groups of networks, in the order of the networks."""
        first = parts[0]
        return cls(
            first.episodes,
            {name: torch.cat([part.tests[name] for part in parts], dim=1) for name in first.tests},
            {name: torch.cat([part.learning[name] for part in parts]) for name in first.learning},
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as Python numbers; see `summary`. `gain` is after minus before, for each network."""
        moments: dict[str, Mapping[str, Tensor]] = {
            "before": {name: curve[0] for name, curve in self.tests.items()},
            "after": {name: curve[-1] for name, curve in self.tests.items()},
            "gain": {name: curve[-1] - curve[0] for name, curve in self.tests.items()},
            "learning": self.learning,
        }
        return {
            **{moment: {name: summary(own) for name, own in figures.items()} for moment, figures in moments.items()},
            "networks": self.tests[RETURN].shape[1],
            "curves": {
                "episodes": self.episodes,
                **{
                    name: [[None if value != value else value for value in row] for row in curve.T.tolist()]
                    for name, curve in self.tests.items()
                },
            },
        }


@torch.no_grad()
def return_curve(
    rule: Rule,
    env_id: str,
    config: EnvironmentConfig,
    cohort: Cohort,
    test_episodes: int,
    test_split: str,
    watcher: Watcher | None = None,
) -> ReturnCurve:
    """Train fresh networks by a rule, and test them with frozen weights before, during and after learning.

    A lifetime and its plasticity last all of training, whatever `lifetime_length` and `plastic_episodes` are; of
    images, they learn from the training split. The rule is deterministic: no exploration noise.

    Args:
        rule: Plasticity rule.
        env_id: Any environment.
        config: Its settings.
        cohort: The networks; they are always tested before learning, too.
        test_episodes: Episodes of each network in each test, at least 1; see `Examiner`.
        test_split: "validation" or "test", where the environment has held-out data.
        watcher: Progress callback; receives returns.
    """
    settings = learning_settings(rule, config)
    env = PlasticityVectorEnv(env_id, num_envs=cohort.num_networks, **settings)
    env.engine.lifetimes.common_seed = cohort.common_seed
    env.reset(seed=cohort.seed)
    examine = Examiner(env_id, config, cohort, test_episodes, test_split)
    times, watcher, learning = cohort._replace(tests=cohort.tests or 1).times, watcher or Watcher(), Means()
    taken: list[dict[str, Tensor]] = []
    done = 0
    for episodes in times:
        while done < episodes:
            learning.add(figures_of(env.run_episode(rule)))
            done += 1
            watcher.shown()
        taken.append(examine(env.engine.network))
        watcher.tested(episodes, taken[-1][RETURN])
    env.close()
    examine.close()
    return ReturnCurve(
        times, {name: torch.stack([test[name] for test in taken]) for name in taken[0]}, learning.values()
    )


class Examiner:
    """Tests networks with frozen weights and thresholds, each on its own set of episodes, the same in every test.

    A test copies the networks into new lifetimes without plasticity; the networks that learn are not changed.

    Args:
        env_id: Any environment.
        config: Its settings.
        cohort: The networks; the episodes of a test are far from those that they learn from.
        episodes: Of each network in a test.
        test_split: "validation" or "test", where the environment has held-out data.
    """

    def __init__(self, env_id: str, config: EnvironmentConfig, cohort: Cohort, episodes: int, test_split: str) -> None:
        settings = to_dict(config) | config.learning() | config.held_out(test_split) | config.frozen()
        self._env = PlasticityVectorEnv(env_id, num_envs=cohort.num_networks, **settings)
        common = cohort.seed if cohort.common_seed is None else cohort.common_seed
        self._env.engine.lifetimes.common_seed = TEST_SEED + common
        self._env.reset(seed=TEST_SEED + cohort.seed)
        self._seeds = [TEST_SEED + cohort.seed + row for row in range(cohort.num_networks)]
        self._episodes = episodes

    def __call__(self, network: Network) -> dict[str, Tensor]:
        """Test the networks, and return means over the test's episodes, (B,) each."""
        engine = self._env.engine
        rows = range(engine.num_lifetimes)
        engine.start_lifetimes(rows, self._seeds)
        engine.network.load_state_dict(network.state_dict())
        engine.network.non_plastic.fill_(True)
        for row in rows:
            engine.task.end_plasticity(row)
        self._env.begin()
        means = Means()
        for _ in range(self._episodes):
            means.add(figures_of(self._env.run_episode(ZeroRule())))
        return means.values()

    def close(self) -> None:
        """Close the test environment's task."""
        self._env.close()


def figures_of(result: EpisodeResult) -> dict[str, Tensor]:
    """Return return, length and terms of an episode of each network, (B,) each."""
    return {RETURN: result.reward, LENGTH: result.length, **{TERM + name: own for name, own in result.terms.items()}}
