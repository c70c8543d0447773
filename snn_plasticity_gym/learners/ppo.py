"""Proximal policy optimisation over synapse events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule
from torch import Tensor

from snn_plasticity_gym.config.training import PPOConfig
from snn_plasticity_gym.learners.arguments import check_learner
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.learners.event_means import standardise
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.nonfinite import Guard


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


class EventPPO(EventLearner):
    """PPO in which every synapse event is an action of its own: several passes over minibatches of events.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: An environment's id, a `PlasticityEnv`, or `PlasticityVecEnv` around a `PlasticityVectorEnv`.
        learning_rate: Of front and heads (alpha_actor); the critic's is this times the policy's `critic_lr_scale`.
        n_steps: Images shown to each lifetime per update.
        batch_size: Events of a minibatch.
        n_epochs: Passes over the events of a rollout.
        gamma: Discount per time step; 1 gives every event of an image the same return.
        clip_range: eps, a number or a schedule.
        events_per_episode: Events learned from per image and lifetime, a uniform sample; 0: all. Every event acts.
        normalize_advantage: Standardise the advantages.
        advantage_scope: Over what: each "minibatch", or the whole "rollout".
        ent_coef: Weight of the entropy (beta_ent); sigma is fixed, so it moves the loss but no parameter.
        vf_coef: Weight of the value loss (beta_v).
        max_grad_norm: Gradients are clipped to this norm.
        target_kl: An update ends once the approximate KL divergence passes 1.5 times this; None: never.
        exploration: "independent": each event has a noise of its own; "rule": each lifetime follows a perturbed rule
            of its own, returns are compared between lifetimes, and what is perturbed is learned.
        mirrored: With "rule": pairs of lifetimes get opposite perturbations.
        rule_learning_rate: With "rule": step per unit of gradient, in standard deviations of the perturbation.
        baseline: With "independent": "critic": A = G - V; "lifetimes": A = G - mean of G over lifetimes.
        credit_horizon: Images whose rewards an image's return sums up, this one and those of its lifetime that follow
            in the rollout; "rule" holds a perturbation as long.
        gamma_lifetime: Discount per image in that sum.
        credit_from: Images of the horizon, its first ones, whose rewards do not count.
        perturb: With "rule": "last": the heads' last layers; "head": all layers of the heads.
        advantage: With "rule": "standardised": returns less their mean over lifetimes; "ranks": their order alone.
        loss_weighting: "event": the loss is a mean over events; "step": over time steps, of means over their events.
        normalize_returns: Divide returns by their running standard deviation, for rewards of any scale.
        nan_policy: Where a number is not finite: "raise" stops and names it, "skip" leaves out what it would spoil.
        seed: Of everything.
        kwargs: Further arguments of Stable-Baselines3's algorithms: policy_kwargs, device, verbose, ...

    Raises:
        ConfigError: An argument is beyond what the trainer's setting of its name allows, or two contradict each other.
    """

    def __init__(
        self,
        policy: str | type[PlasticityPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        n_steps: int = 1,
        batch_size: int = 512,
        n_epochs: int = 4,
        gamma: float = 1.0,
        clip_range: float | Schedule = 0.2,
        events_per_episode: int = 1024,
        normalize_advantage: bool = True,
        advantage_scope: str = "minibatch",
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = None,
        loss_weighting: str = "event",
        normalize_returns: bool = False,
        nan_policy: str = "raise",
        exploration: str = "independent",
        mirrored: bool = False,
        rule_learning_rate: float = 0.3,
        baseline: str = "critic",
        credit_horizon: int = 1,
        gamma_lifetime: float = 1.0,
        credit_from: int = 0,
        perturb: str = "last",
        advantage: str = "standardised",
        seed: int | None = None,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        check_learner(PPOConfig, locals())
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            rollout_buffer_class=EventRolloutBuffer,  # type: ignore[arg-type]
            rollout_buffer_kwargs={
                "events_per_episode": events_per_episode,
                "credit_horizon": credit_horizon,
                "gamma_lifetime": gamma_lifetime,
                "credit_from": credit_from,
                "seed": seed or 0,
            },
            seed=seed,
            supported_action_spaces=(spaces.Box,),
            _init_setup_model=False,
            **kwargs,
        )
        self._set_estimator(exploration, mirrored, rule_learning_rate, baseline, perturb, advantage)
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.clip_range = clip_range
        self.normalize_advantage = normalize_advantage
        self.advantage_scope = advantage_scope
        self.target_kl = target_kl
        self.normalize_returns = normalize_returns
        self.guard = Guard(nan_policy)
        self.loss_weighting = loss_weighting
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        if self._world.size > 1 and self.exploration == "independent":
            raise ValueError(
                "PPO with exploration independent draws its minibatches from the events of one process; run it without "
                "torchrun, or take exploration rule, or A2C"
            )
        self.clip_range = FloatSchedule(self.clip_range)

    def train(self) -> None:
        """Take gradient steps on minibatches of the rollout's events; without any event nothing changes."""
        clip_range = FloatSchedule(self.clip_range)(self._current_progress_remaining)
        if self.exploration == "rule":
            self.learn_from_rules(self.n_epochs, clip_range)
            return
        if not len(self.rollout_buffer):
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        samples = self.samples_with_advantages()
        values = samples.returns - samples.advantages  # (E,) by the critic that saw the rollout
        if self.normalize_advantage and self.advantage_scope == "rollout":
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
                if self.normalize_advantage and self.advantage_scope == "minibatch":
                    batch = batch._replace(advantages=standardise(batch.advantages, self._world))
                yield batch
