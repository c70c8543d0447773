"""Advantage actor-critic over synapse events."""

from __future__ import annotations

from typing import Any

from stable_baselines3 import A2C
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from snn_plasticity_gym.config.training import A2CConfig
from snn_plasticity_gym.learners.arguments import check_learner
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.learners.event_means import standardise
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.nonfinite import Guard


def a2c_loss(samples: EventSamples, log_prob: Tensor, values: Tensor, vf_coef: float) -> Tensor:
    """Loss of each event, -A log pi + vf_coef (G - V)^2, shape (E,); Mnih et al. (2016), section 4.

    Args:
        samples: Events with their advantages A and returns G.
        log_prob: Log-probability of each action, (E,).
        values: V of the critic, (E,).
        vf_coef: beta_v.
    """
    return -samples.advantages * log_prob + vf_coef * (samples.returns - values) ** 2


class EventA2C(EventLearner, A2C):
    """A2C in which every synapse event is an action of its own: one gradient step per rollout of whole images.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: An environment's id, a `PlasticityEnv`, or `PlasticityVecEnv` around a `PlasticityVectorEnv`.
        learning_rate: Of front and heads (alpha_actor); the critic's is this times the policy's `critic_lr_scale`.
        n_steps: Images shown to each lifetime per update.
        gamma: Discount per time step; 1 gives every event of an image the same return.
        events_per_episode: Events learned from per image and lifetime, a uniform sample; 0: all. Every event acts.
        normalize_advantage: Standardise the advantages over the rollout.
        ent_coef: Weight of the entropy (beta_ent); sigma is fixed, so it moves the loss but no parameter.
        vf_coef: Weight of the value loss (beta_v).
        max_grad_norm: Gradients are clipped to this norm.
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
        kwargs: Further arguments of `stable_baselines3.A2C`: policy_kwargs, seed, device, verbose, ...

    Raises:
        ConfigError: An argument is beyond what the trainer's setting of its name allows, or two contradict each other.
    """

    def __init__(
        self,
        policy: str | type[PlasticityPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        n_steps: int = 1,
        gamma: float = 1.0,
        events_per_episode: int = 1024,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
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
        check_learner(A2CConfig, locals())
        self.normalize_returns = normalize_returns
        self.guard = Guard(nan_policy)
        self.loss_weighting = loss_weighting
        self._set_estimator(exploration, mirrored, rule_learning_rate, baseline, perturb, advantage)
        buffer = {
            "events_per_episode": events_per_episode,
            "credit_horizon": credit_horizon,
            "gamma_lifetime": gamma_lifetime,
            "credit_from": credit_from,
            "seed": seed or 0,
        }
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            normalize_advantage=normalize_advantage,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_rms_prop=False,
            rollout_buffer_class=EventRolloutBuffer,  # type: ignore[arg-type]
            rollout_buffer_kwargs=buffer,
            seed=seed,
            _init_setup_model=_init_setup_model,
            **kwargs,
        )

    def train(self) -> None:
        """Take one gradient step on the whole rollout; one in which a process has no event changes nothing."""
        if self.exploration == "rule":
            self.learn_from_rules()
            return
        if not self._world.all(len(self.rollout_buffer) > 0):
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        samples = self.samples_with_advantages()
        if self.normalize_advantage:
            samples = samples._replace(advantages=standardise(samples.advantages, self._world))

        def loss(chunk: EventSamples, means: Tensor, values: Tensor) -> Tensor:
            entropy = self.ent_coef * self.policy.entropy
            return a2c_loss(chunk, self.policy.log_prob(means, chunk.actions), values, self.vf_coef) - entropy

        means, values = self.accumulate_gradients(samples, loss)
        norm = self.step_optimizer()
        log_prob = self.policy.log_prob(means, samples.actions)
        self._record_update(
            samples,
            values,
            policy_loss=-(samples.advantages * log_prob).mean().item(),
            value_loss=((samples.returns - values) ** 2).mean().item(),
            entropy_loss=-self.policy.entropy,
            gradient_norm=norm,
            mean_abs_delta=means.abs().mean().item(),
        )
