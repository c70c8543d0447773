"""Base class of event-wise A2C and PPO: setup, saving, resuming and the training loop.

`event_rollouts` collects the data, `gradient_steps` and `rule_steps` take the update steps.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from typing_extensions import Self

from snn_plasticity_gym.config.learning import EventOptions, GradientArguments
from snn_plasticity_gym.config.schema import ConfigError, current_names, setting_fields
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.learners.environment import check_budget, check_vector_form, plasticity_env
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.learners.event_rollouts import EventRollouts
from snn_plasticity_gym.learners.exploration import IndependentNoise, RuleNoise
from snn_plasticity_gym.learners.head_noise import HeadNoise
from snn_plasticity_gym.learners.rule_steps import RuleSteps
from snn_plasticity_gym.policies.former_modules import former_modules
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.nonfinite import Guard
from snn_plasticity_gym.utils.state import State, global_generators, set_global_generators

LARGEST_RATE = 1e30  # far above any sensible rate, and within single precision after an optimiser's divisions
COUNTERS = ("num_timesteps", "num_episodes", "_num_rollouts", "_n_updates", "_episode_num")


class EventLearner(RuleSteps, EventRollouts):
    """Learns a `PlasticityPolicy` from synapse events; base class of event-wise A2C and PPO."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"PlasticityPolicy": PlasticityPolicy}
    config_type: ClassVar[type[SearchConfig]]
    options_type: ClassVar[type[EventOptions]] = EventOptions
    arguments_type: ClassVar[type[GradientArguments]] = GradientArguments
    keywords: ClassVar[tuple[type, ...]] = ()  # keyword classes, if not the two above
    fixed: ClassVar[Mapping[str, Any]] = {}
    policy: PlasticityPolicy
    rollout_buffer: EventRolloutBuffer

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> Self:
        """Load a saved learner; arguments as in Stable-Baselines3. Zips of version 0.1 are read, too."""
        with former_modules():
            return super().load(*args, **kwargs)

    def _setup_model(self) -> None:
        self._read_loaded()
        self.guard = Guard(self.options.nan_policy)
        self.rollout_buffer_class = EventRolloutBuffer  # type: ignore[assignment]
        self.rollout_buffer_kwargs = {"options": self.options, "seed": self.seed or 0}
        options = self.options
        rewards_events = self.env is not None and plasticity_env(self.env).engine.task.rewards_events
        self._world = World()
        if self._world.size > 1 and self.seed is None:
            raise ValueError("processes that learn together need a seed, got None")
        super()._setup_model()
        if options.exploration == "rule" and self._num_lifetimes < 2:
            raise ValueError(f"exploration rule compares lifetimes, so it needs at least 2, got {self._num_lifetimes}")
        if rewards_events:
            horizon = options.credit_horizon
            if horizon > 1 or options.baseline != "critic" or options.exploration != "independent":
                raise ValueError(
                    "this environment rewards each event by itself, so exploration must be independent, baseline "
                    f"critic and credit_horizon 1, got {options.exploration}, {options.baseline} and {horizon}"
                )
        if not hasattr(self, "_return_scale"):  # set already when loading
            self._return_scale = RunningMeanStd(shape=())
        self._noise = torch.Generator(self.device)
        if self.seed is None:
            self._noise.seed()
        else:
            # Perturbed rules are drawn for all lifetimes in every process, noise of events only for its lifetimes.
            together = options.exploration == "rule"
            self._noise.manual_seed(int(self.seed if together else self._world.own_seed(self.seed)))
        self._explore = IndependentNoise(self.policy, self._noise)
        if options.exploration == "rule":
            noise = HeadNoise if options.perturb == "head" else RuleNoise
            self._explore = noise(self.policy, self._noise, options)
        self._velocity = 0.0

    def _read_loaded(self) -> None:
        """Read options from attributes: those given to `load`, and those of old zips."""
        settings = setting_fields(self.options_type)
        names = {name for info in settings for name in (info.name, *info.was)}
        kept = {name: value for name, value in (self.rollout_buffer_kwargs or {}).items() if name in names}
        if "guard" in self.__dict__:
            kept["nan_policy"] = self.guard.policy
        found = kept | {name: self.__dict__.pop(name) for name in names & self.__dict__.keys()}
        if found:
            self.options = dataclasses.replace(self.options, **current_names(found, settings))

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Replace the environment by another one of the same spaces.

        Raises:
            ConfigError: It is in Gymnasium's vector form.
            TypeError: A wrapper around it would be bypassed; see `plasticity_env`.
            ValueError: Its spaces or its number of lifetimes differ.
        """
        check_vector_form(env)
        plasticity_env(self._wrap_env(env, verbose=0))
        super().set_env(env, force_reset)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed everything; the lifetimes of this process get the seeds of a run in one process."""
        super().set_random_seed(None if seed is None else int(seed))
        if seed is not None and self.env is not None and self._world.size > 1:
            self.env.seed(seed + self._world.rank * self.n_envs)
            plasticity_env(self.env).engine.lifetimes.common_seed = seed

    def _excluded_save_params(self) -> list[str]:
        return [
            *super()._excluded_save_params(),
            "_noise",
            "_explore",
            "_velocity",
            "_world",
            "guard",
            "rollout_buffer_class",
            "rollout_buffer_kwargs",
        ]

    def _update_learning_rate(self, optimizers: Any) -> None:
        """Set the learning rates from the schedule, each parameter group by its own scale.

        Raises:
            ConfigError: One of them exceeds single precision.
        """
        super()._update_learning_rate(optimizers)
        for group in self.policy.optimizer.param_groups:
            group["lr"] *= group["lr_scale"]
            if not abs(group["lr"]) <= LARGEST_RATE:
                raise ConfigError(
                    f"learning_rate must be at most {LARGEST_RATE:g}, times critic_lr_scale, too, got {group['lr']:g} "
                    f"after {self._n_updates} updates"
                )

    def state_dict(self) -> State:
        """Return the complete state between two rollouts; resumed learning is bit-identical.

        Raises:
            RuntimeError: A rollout is in progress.
        """
        scale, velocity = self._return_scale, self._velocity
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "env": plasticity_env(self._vec_env()).state_dict(),
            "buffer": self.rollout_buffer.state_dict(),
            "exploration": self._explore.state_dict(),
            "velocity": velocity if isinstance(velocity, Tensor) else None,
            "noise": self._noise.get_state(),
            "return_scale": {"mean": float(scale.mean), "var": float(scale.var), "count": float(scale.count)},
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "episodes": list(self.ep_info_buffer or ()),
            "generators": global_generators(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`, of a learner with the same arguments; then `learn` without resetting.

        Raises:
            ValueError: Arguments differ.
        """
        self.policy.load_state_dict(state["policy"])
        self.policy.optimizer.load_state_dict(state["optimizer"])
        env = plasticity_env(self._vec_env())
        env.load_state_dict(state["env"])
        self.rollout_buffer.load_state_dict(state["buffer"])
        self._explore.load_state_dict(state["exploration"])
        self._velocity = 0.0 if state["velocity"] is None else state["velocity"].to(self.device)
        self._noise.set_state(state["noise"])
        for name, value in state["return_scale"].items():
            setattr(self._return_scale, name, np.float64(value))
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.ep_info_buffer = deque(state["episodes"], maxlen=self._stats_window_size)
        self.ep_success_buffer = deque(maxlen=self._stats_window_size)
        # Without an observation Stable-Baselines3 resets the environment, and so draws another image.
        self._last_obs = {}
        set_global_generators(state["generators"])

    @property
    def progress(self) -> float:
        """Share of the training done, by episodes where their number is given, else by time steps."""
        if self._episode_budget is not None:
            return self.num_episodes / self._episode_budget
        return self.num_timesteps / self._total_timesteps

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "OnPolicyAlgorithm",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
        episodes: int | None = None,
    ) -> Self:
        """Train; arguments as in Stable-Baselines3, and one more.

        Args:
            total_timesteps: Maximum time steps of all networks.
            callback: Called at every step of a rollout.
            log_interval: Rollouts between two rows of the log.
            tb_log_name: Name of the run in TensorBoard.
            reset_num_timesteps: Whether to count from 0.
            progress_bar: Whether to show one.
            episodes: Maximum episodes of all lifetimes, including earlier calls; lengths of episodes vary in worlds.
        """
        self._episode_budget = check_budget(total_timesteps, episodes)
        if reset_num_timesteps:
            self.num_episodes = self._num_rollouts = 0
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        """Update the remaining progress, for schedules."""
        self._current_progress_remaining = 1.0 - self.progress

    def _vec_env(self) -> VecEnv:
        assert self.env is not None, "set_env() comes first"
        return self.env

    def dump_logs(self, iteration: int = 0) -> None:
        """Write the log; rollouts are counted from the run's beginning, not from where it was resumed."""
        super().dump_logs(self._num_rollouts)
