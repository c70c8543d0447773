"""Rollouts of whole episodes: an action for every synapse event, and a sample of them in the buffer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.learners.environment import not_finite, plasticity_env
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.learners.exploration import Exploration
from snn_plasticity_gym.learners.rollout_log import record_rollout
from snn_plasticity_gym.learners.step_locals import StepLocals, episode_infos
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.nonfinite import Guard, NotFiniteError


class EventRollouts(OnPolicyAlgorithm):
    """The part of an event learner that collects rollouts.

    A rollout is `n_steps` episodes of each lifetime. As everywhere in Stable-Baselines3 a timestep is one step of one
    environment, here one time step of one network: an image is T timesteps.
    """

    options: EventOptions  # of exploration and learning
    guard: Guard  # handles non-finite numbers
    num_episodes = 0  # of all lifetimes
    policy: PlasticityPolicy
    rollout_buffer: EventRolloutBuffer  # type: ignore[assignment]
    _num_rollouts = 0
    _episode_budget: int | None = None  # of all lifetimes; None: only time steps limit learning
    _explore: Exploration
    _world: World

    @property
    def _num_lifetimes(self) -> int:
        """Lifetimes of all processes."""
        return self.n_envs * self._world.size

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Run `n_rollout_steps` episodes of every lifetime, and fill the buffer with the events.

        Lifetimes whose episode is over wait for all others; only steps taken count. Where several episodes run in one
        call of the loops, callbacks see the steps of all of them afterwards. `StepLocals` documents their `locals`.

        Returns:
            False if the callback stopped the rollout, which is then left out.
        """
        if self._episode_budget is not None and self.num_episodes >= self._episode_budget:
            return False
        buffer, plasticity = self.rollout_buffer, plasticity_env(env)
        engine = plasticity.engine
        if engine.steps.max() > 1:  # stopped within an episode
            env.reset()
        self.policy.set_training_mode(False)
        buffer.reset()
        self._check_policy()
        callback.on_rollout_start()
        results: list[EpisodeResult] = []
        began, before = time.perf_counter(), self.num_timesteps
        rule = self.policy.frozen(plasticity.config.history_length)
        self._explore.begin_rollout()
        steps = StepLocals(env.num_envs, self.start_time / 1e9)
        whole = True
        while (episode := len(results)) < n_rollout_steps:
            drawn = episode % self.options.credit_horizon  # episodes since rules were drawn
            if drawn == 0:
                self._explore.perturb(env.num_envs)
            ages = engine.ages.copy()  # (B,)
            episode_rule = rule if engine.network.non_plastic.all() else self._explore.whole(rule)
            if episode_rule is rule or (episode_rule is not None and plasticity.lives_whole(episode_rule)):
                left = min(self.options.credit_horizon - drawn, n_rollout_steps - episode)
                together = plasticity.run_some(episode_rule, left)
                for result in together:
                    steps.begin_episode()
                    for taken, seen in steps.of_episode(result):
                        if not self._count_step(taken, callback, locals() | seen):
                            return False
                    episode += 1
            else:
                steps.begin_episode()
                while (events := plasticity.events()) is not None:
                    step, taken = int(engine.steps.max()), int((~engine.ended).sum())
                    actions, log_probs = self._explore.act(rule, events)  # (E,) each
                    if self.guard.skips:
                        actions = self._finite_actions(actions, step)
                    if log_probs is not None:
                        buffer.add(events, actions, log_probs, step)
                    plasticity.apply(actions)
                    if events.then is not None:  # further phases of the time step
                        continue
                    seen = steps.answered(engine, events, actions, log_probs, plasticity.events())
                    if not self._count_step(taken, callback, locals() | seen):
                        return False
                together = [plasticity.finish()]
            whole &= self._check_episodes(engine, together)
            for later, result in enumerate(together):
                buffer.end_episode(result, torch.from_numpy(ages + later == 0).to(self.device))
                self._update_info_buffer(episode_infos(result, time.time() - self.start_time / 1e9))
            results += together
        # Episodes of other processes may have been shorter or longer than those of this one.
        own = torch.stack([result.length for result in results]).sum().double()
        self.num_timesteps = before + int(self._world.all_sum(own.reshape(1)))
        self.num_episodes += n_rollout_steps * self._num_lifetimes
        self._num_rollouts += 1
        record_rollout(self.logger, plasticity, results, self.num_episodes, time.perf_counter() - began, self._world)
        if not self._world.all(whole):
            buffer.reset()  # no data to learn from
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _finite_actions(self, actions: Tensor, step: int) -> Tensor:
        """Return weight changes with non-finite ones set to 0."""
        finite = actions.isfinite()
        if finite.all():
            return actions
        self.guard.handle(
            f"{int((~finite).sum())} values of delta_d are not finite at time step {step}", "they are left out"
        )
        return actions.masked_fill(~finite, 0.0)

    def _check_policy(self) -> None:
        """Raise an error for non-finite parameters, which cannot be skipped."""
        bad = next((name for name, values in self.policy.named_parameters() if not values.isfinite().all()), None)
        if bad:
            raise NotFiniteError(f"{bad} of the policy is not finite after {self._n_updates} updates")

    def _check_episodes(self, engine: Engine, results: Sequence[EpisodeResult]) -> bool:
        """Return whether episodes have left nothing but finite rewards and weights."""
        problem = not_finite(engine, results)
        if problem:
            self.guard.handle(f"{problem} (at {self.num_timesteps} steps of the run)", "the rollout is discarded")
        return not problem

    def _count_step(self, taken: int, callback: BaseCallback, values: dict[str, Any]) -> bool:
        """Note that `taken` networks have made a time step; return False if the callback stops the rollout."""
        self.num_timesteps += taken * self._world.size
        callback.update_locals(values)
        return callback.on_step()
