"""Advantage actor-critic over synapse events."""

from __future__ import annotations

from typing import Any, ClassVar

from stable_baselines3 import A2C
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import Tensor

from snn_plasticity_gym.config.training import A2CConfig, SearchConfig
from snn_plasticity_gym.learners.arguments import read_arguments, with_options
from snn_plasticity_gym.learners.event_buffer import EventSamples
from snn_plasticity_gym.learners.event_means import standardise
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.policies.policy import PlasticityPolicy


def a2c_loss(samples: EventSamples, log_prob: Tensor, values: Tensor, vf_coef: float) -> Tensor:
    """Loss of each event, -A log pi + vf_coef (G - V)^2, shape (E,); Mnih et al. (2016), section 4.

    Args:
        samples: Events with their advantages A and returns G.
        log_prob: Log-probability of each action, (E,).
        values: V of the critic, (E,).
        vf_coef: beta_v.
    """
    return -samples.advantages * log_prob + vf_coef * (samples.returns - values) ** 2


@with_options
class EventA2C(EventLearner, A2C):
    """A2C in which every synapse event is a separate action: one gradient step per rollout of whole episodes.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: An environment's id, a `PlasticityEnv`, or `PlasticityVecEnv` around a `PlasticityVectorEnv`.
        learning_rate: Of front and heads (alpha_actor); the critic's is this times the policy's `critic_lr_scale`.
        n_steps: Episodes of each lifetime per update.
        seed: Of everything.
        options: Those listed below, and of `stable_baselines3.A2C` policy_kwargs, device, verbose, tensorboard_log and
            stats_window_size.

    Raises:
        ConfigError: An argument is unknown, beyond its limits, or contradicts another.
    """

    config_type: ClassVar[type[SearchConfig]] = A2CConfig

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
        self.options, arguments = read_arguments(type(self), locals())
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            use_rms_prop=False,
            seed=seed,
            _init_setup_model=_init_setup_model,
            **arguments,
        )

    def train(self) -> None:
        """Take one gradient step on the whole rollout; no step if a process has no event."""
        if self.options.exploration == "rule":
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
