"""Update steps of exploration in rule space: perturbed parameters are moved along the gradient."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from snn_plasticity_gym.learners.exploration import Exploration, PerturbedRules
from snn_plasticity_gym.learners.gradient_steps import GradientSteps
from snn_plasticity_gym.learners.rule_search import ascend, ranks

MOMENTUM = 0.8  # of the update steps with exploration "rule"


class RuleSteps(GradientSteps):
    """The part of an event learner that updates the mean rule from the returns of perturbed rules."""

    normalize_advantage: bool
    _explore: Exploration
    _velocity: Tensor | float = 0.0  # running mean of the steps, shaped like one xi

    def learn_from_rules(self, passes: int = 1, clip_range: float | None = None) -> None:
        """Update the heads, or their last layers, along the gradient over perturbed rules; see `rule_search`.

        Args:
            passes: Over the lifetimes of the rollout.
            clip_range: eps of the probability ratio; None: no clipping.
        """
        explore = cast(PerturbedRules, self._explore)
        if not (explore.ready and self.rollout_buffer.pos):
            return
        own = self.rollout_buffer.lifetime_returns()[:: self.options.credit_horizon]
        returns = self._world.join(own, dim=1)  # (draws, B), B lifetimes of all processes
        advantages = returns - returns.mean(dim=1, keepdim=True)
        if self.options.advantage == "ranks":
            advantages = ranks(returns)
        elif self.normalize_advantage:
            advantages = advantages / (advantages.std() + 1e-8)
        rate = self.options.rule_learning_rate
        ascent = ascend(torch.cat(explore.drawn), advantages.flatten(), rate, passes, clip_range)
        if not math.isfinite(ascent.divergence):
            self.guard.handle(
                f"the gradient of the rule is not finite at {self.num_timesteps} steps", "no step is taken"
            )
            return
        self._velocity = MOMENTUM * self._velocity + (1.0 - MOMENTUM) * ascent.shift
        explore.move(self.policy.rule, self.policy.sigma * self._velocity)
        self._n_updates += 1
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/return", returns.mean().item())
        record("train/rule_gradient", ascent.shift.norm().item() / rate)
        record("train/rule_step", self._velocity.norm().item())
        record("train/approx_kl", ascent.divergence)
        record("train/return_spread", (returns - returns.mean(dim=1, keepdim=True)).std().item())
        if clip_range is not None:
            record("train/clip_fraction", ascent.clipped)
