"""Environments whose best weight change is known."""

from __future__ import annotations

from typing import Any

import torch

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.environment import plasticity_env
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.plasticity.events import per_event
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.wrappers.sb3 import PlasticityVecEnv

SMALL: dict[str, Any] = {
    "dataset": "digits",
    "n_exc": 6,
    "num_steps": 12,
    "history_length": 8,
    "max_rate": 0.02,
    "events_per_step": 1024,
    "gain_input_exc": 20.0,
}


QUICK_FRONT = {"kernel_sizes": (3, 3)}
"""Of policies: the table of a front is small then, and is made anew before each rollout."""
QUICK_HEADS = QUICK_FRONT | {"hidden_sizes": (16,)}
"""Heads of few parameters, too."""


def paid_at_end(rewards: torch.Tensor, num_steps: int, event_rewards: Any = None) -> EpisodeResult:
    """An episode of `num_steps` steps that paid rewards (B,) in its last one."""
    nothing = torch.zeros(len(rewards), dtype=torch.int64)
    return EpisodeResult(
        reward=rewards,
        terms={},
        info={},
        spikes={},
        rates=torch.zeros(len(rewards), 0),
        num_events=nothing,
        length=nothing + num_steps,
        truncated=nothing > 0,
        payments=rewards.unsqueeze(1),
        payment_steps=torch.tensor([num_steps]),
        event_rewards=event_rewards,
    )


class BanditEnv(PlasticityVectorEnv):
    """The reward of a lifetime is less, the further the weight changes of its episode were from `target`."""

    target = 0.5

    def __init__(self, num_envs: int, **settings: Any) -> None:
        few_events = {"dataset": "digits", "n_exc": 1, "num_steps": 4, "history_length": 4, "max_rate": 0.005}
        super().__init__("SNNPlastic-Unsup1-v0", num_envs=num_envs, **(few_events | settings))
        self.engine.run_episode = lambda rule: False  # `apply` has to see each event
        self._error = torch.zeros(num_envs)
        self._count = torch.zeros(num_envs)

    def lives_whole(self, rule: Rule) -> bool:
        return False

    def apply(self, delta_d: torch.Tensor) -> None:
        events = self.events()
        lifetime = per_event(torch.arange(self.num_envs), events.lengths)
        self._error.index_add_(0, lifetime, (delta_d - self.target) ** 2)
        self._count += events.lengths
        super().apply(delta_d)

    def finish(self) -> EpisodeResult:
        reward = -self._error / self._count.clamp(min=1)
        self._error.zero_()
        self._count.zero_()
        return super().finish()._replace(reward=reward, payments=reward.unsqueeze(1))


def bandit(num_envs: int, **settings: Any) -> PlasticityVecEnv:
    """The bandit as Stable-Baselines3 wants it."""
    return PlasticityVecEnv(BanditEnv(num_envs, **settings))


def bandit_answers(model: EventLearner) -> torch.Tensor:
    """What the rule without exploration answers in an image of the bandit."""
    env, answers = plasticity_env(model.env), []
    env.reset(seed=5)
    rule = model.policy.frozen(env.config.history_length)
    while (events := env.events()) is not None:
        answers.append(rule(events))
        env.apply(answers[-1])
    return torch.cat(answers)
