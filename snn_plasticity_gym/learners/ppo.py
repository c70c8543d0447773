"""Proximal policy optimisation over synapse events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule
from torch import Tensor

from snn_plasticity_gym.config.learning import PPOOptions, ProximalArguments
from snn_plasticity_gym.config.training import PPOConfig
from snn_plasticity_gym.learners.arguments import read_arguments, with_options
from snn_plasticity_gym.learners.event_buffer import EventSamples
from snn_plasticity_gym.learners.event_means import standardise
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.policies.policy import PlasticityPolicy


def ppo_loss(samples: EventSamples, log_prob: Tensor, values: Tensor, clip_range: float, vf_coef: float) -> Tensor:
    """Loss of each event, -min(r A, clip(r, 1 - eps, 1 + eps) A) + vf_coef (G - V)^2, shape (E,).

    r is the ratio of the action's probabilities now and when it was taken; Schulman et al. (2017), eq. 7.

    Args:
        samples: Events with their advantages A, returns G and old log-probabilities.
        log_prob: Log-probability of each action now, (E,).
        values: V of the critic, (E,).
        clip_range: eps.
        vf_coef: beta_v.
    """
    ratio = (log_prob - samples.log_probs).exp()  # (E,)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    surrogate = torch.minimum(ratio * samples.advantages, clipped * samples.advantages)
    return -surrogate + vf_coef * (samples.returns - values) ** 2


@with_options
class EventPPO(EventLearner):
    """PPO in which every synapse event is a separate action: several epochs over minibatches of events.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: An environment's id, a `PlasticityEnv`, or `PlasticityVecEnv` around a `PlasticityVectorEnv`.
        learning_rate: Of front and heads (alpha_actor); the critic's is this times the policy's `critic_lr_scale`.
        n_steps: Episodes of each lifetime per update.
        seed: Of everything.
        options: Those listed below, of which clip_range may be a schedule, and of `stable_baselines3.PPO`
            policy_kwargs, device, verbose, tensorboard_log and stats_window_size.

    Raises:
        ConfigError: An argument is unknown, beyond its limits, or contradicts another.
    """

    config_type = PPOConfig
    options_type = PPOOptions
    arguments_type = ProximalArguments
    options: PPOOptions
    clip_range: float | Schedule
    n_epochs: int
    batch_size: int
    target_kl: float | None

    def __init__(
        self,
        policy: str | type[PlasticityPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        n_steps: int = 1,
        seed: int | None = None,
        _init_setup_model: bool = True,
        **options: Any,
    ) -> None:
        own, arguments = read_arguments(type(self), locals())
        self.options = cast(PPOOptions, own)
        for name in ("clip_range", "n_epochs", "batch_size", "target_kl", "normalize_advantage"):  # as in SB3's PPO
            setattr(self, name, arguments.pop(name))
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gae_lambda=1.0,
            use_sde=False,
            sde_sample_freq=-1,
            seed=seed,
            supported_action_spaces=(spaces.Box,),
            _init_setup_model=_init_setup_model,
            **arguments,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        if self._world.size > 1 and self.options.exploration == "independent":
            raise ValueError(
                "PPO with exploration independent draws its minibatches from the events of one process; run it without "
                "torchrun, or take exploration rule, or A2C"
            )
        self.clip_range = FloatSchedule(self.clip_range)

    def train(self) -> None:
        """Take gradient steps on minibatches of the rollout's events; none without events."""
        clip_range = FloatSchedule(self.clip_range)(self._current_progress_remaining)
        if self.options.exploration == "rule":
            self.learn_from_rules(self.n_epochs, clip_range)
            return
        if not len(self.rollout_buffer):
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        samples = self.samples_with_advantages()
        values = samples.returns - samples.advantages  # (E,) of the critic at the rollout
        if self.normalize_advantage and self.options.advantage_scope == "rollout":
            samples = samples._replace(advantages=standardise(samples.advantages, self._world))

        def loss(batch: EventSamples, means: Tensor, values: Tensor) -> Tensor:
            log_prob = self.policy.log_prob(means, batch.actions)
            return ppo_loss(batch, log_prob, values, clip_range, self.vf_coef) - self.ent_coef * self.policy.entropy

        clipped, divergences, policy_losses, value_losses, norms = [], [], [], [], []
        passes = 0
        for batch in self._minibatches(samples):
            means, batch_values = self.accumulate_gradients(batch, loss)
            log_ratio = self.policy.log_prob(means, batch.actions) - batch.log_probs  # (E,)
            ratio = log_ratio.exp()
            divergence = ((ratio - 1) - log_ratio).mean().item()  # Schulman (2020), Approximating KL divergence: k3
            if self.target_kl is not None and divergence > 1.5 * self.target_kl:
                self.policy.optimizer.zero_grad()
                break
            norms.append(self.step_optimizer())
            passes += len(means)
            divergences.append(divergence)
            clipped.append(((ratio - 1).abs() > clip_range).float().mean().item())
            policy_losses.append(
                ppo_loss(batch, log_ratio + batch.log_probs, batch_values, clip_range, 0.0).mean().item()
            )
            value_losses.append(((batch.returns - batch_values) ** 2).mean().item())
        if not norms:
            return
        self._record_update(
            samples,
            values,
            policy_loss=sum(policy_losses) / len(norms),
            value_loss=sum(value_losses) / len(norms),
            entropy_loss=-self.policy.entropy,
            approx_kl=sum(divergences) / len(norms),
            clip_fraction=sum(clipped) / len(norms),
            clip_range=clip_range,
            gradient_norm=sum(norms) / len(norms),
            epochs=passes / len(samples.actions),
        )

    def _minibatches(self, samples: EventSamples) -> Iterator[EventSamples]:
        """Yield the events in random order, `n_epochs` times, `batch_size` at a time."""
        for _ in range(self.n_epochs):
            order = torch.randperm(len(samples.actions), generator=self._noise, device=self.device)
            for part in order.split(self.batch_size):
                batch = samples.take(part).compact()
                if self.normalize_advantage and self.options.advantage_scope == "minibatch":
                    batch = batch._replace(advantages=standardise(batch.advantages, self._world))
                yield batch
