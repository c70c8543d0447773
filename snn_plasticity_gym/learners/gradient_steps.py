"""Gradient steps on the events of a rollout: advantages, a loss in chunks, one step of the optimiser, its log."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.learners.event_means import event_weights, sum_gradients, update_scale
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.nonfinite import Guard

LEARNING_CHUNK = 32_768  # events whose hidden layers are in memory at once


class GradientSteps:
    """The part of an event learner that takes optimiser steps on a rollout."""

    policy: PlasticityPolicy
    rollout_buffer: EventRolloutBuffer
    options: EventOptions
    guard: Guard
    logger: Logger
    max_grad_norm: float
    num_timesteps: int
    _n_updates: int
    _return_scale: RunningMeanStd
    _world: World

    def samples_with_advantages(self) -> EventSamples:
        """Return the rollout with its advantages; scale returns first if so configured.

        The baseline is the present critic's value, or the mean over lifetimes, A = G - mean_b G_b.
        """
        samples, rule = self.rollout_buffer.samples(), self.policy.rule
        if self.options.normalize_returns:
            update_scale(self._return_scale, samples.returns, self._world)
            scale = float(np.sqrt(self._return_scale.var) + 1e-12)
            samples = samples._replace(returns=samples.returns / scale, advantages=samples.advantages / scale)
        if self.options.baseline == "lifetimes":
            return samples
        with torch.no_grad():
            features = rule.features(samples.state)  # (P, F)
            values = [rule.value(features, chunk.state) for chunk in samples.chunks(LEARNING_CHUNK)]
        return samples._replace(advantages=samples.returns - torch.cat(values))

    def accumulate_gradients(
        self, samples: EventSamples, loss: Callable[[EventSamples, Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Add the gradient of the mean loss to the policy's parameters, with a chunk of the events in memory at a time.

        Args:
            samples: Events.
            loss: Maps events, their means (E,) and values (E,) to their losses, (E,).

        Returns:
            Means and values of all events, without gradient, (E,) each.
        """
        rule, weights = self.policy.rule, event_weights(samples.step, self.options.loss_weighting, self._world)
        features = rule.features(samples.state)  # (P, F)
        # Collects the chunks' gradients, for one backward pass through the front.
        leaf = features.detach().requires_grad_()
        means, values = [], []
        for chunk, chunk_weights in zip(samples.chunks(LEARNING_CHUNK), weights.split(LEARNING_CHUNK), strict=True):
            mean, value = rule.mean(leaf, chunk.state), rule.value(leaf, chunk.state)
            (loss(chunk, mean, value) * chunk_weights).sum().backward()
            means.append(mean.detach())
            values.append(value.detach())
        features.backward(leaf.grad)
        return torch.cat(means), torch.cat(values)

    def step_optimizer(self) -> float:
        """Sum and clip the gradient, take one step, and return the gradient's norm before clipping."""
        sum_gradients(self.policy.parameters(), self._world)
        norm = float(torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm))
        if math.isfinite(norm):
            self.policy.optimizer.step()
        else:  # the loss is not finite, or the gradient overflows
            self.guard.handle(
                f"the gradient of the loss is not finite at {self.num_timesteps} steps", "no step is taken"
            )
        self.policy.optimizer.zero_grad()
        return norm

    def _record_update(self, samples: EventSamples, values: Tensor, **means: float) -> None:
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        spread, left = (self._world.moments(x.double()).variance for x in (samples.returns, samples.returns - values))
        if spread > 0 and (left / spread).isfinite():
            self.logger.record("train/explained_variance", float(1 - left / spread))
        own = len(samples.actions) * torch.tensor([1.0, *means.values()], dtype=torch.float64)
        events, *sums = self._world.all_sum(own).tolist()
        self.logger.record("train/events", int(events))
        for name, value in zip(means, sums, strict=True):
            self.logger.record(f"train/{name}", value / events)
