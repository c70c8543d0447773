"""The `locals` of Stable-Baselines3's callbacks at a time step of a rollout.

Axes: B lifetimes, E events.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.plasticity.events import SynapseEvents


class StepLocals:
    """Names and meanings as in Stable-Baselines3's rollouts, with events in place of observations.

    `rewards` (B,), `dones` (B,) and `infos` are those of a time step; at the end of an episode, `infos` have `episode`
    as in Monitor and `TimeLimit.truncated`. `obs_tensor` are the events acted on, `new_obs` the next ones (None: all
    episodes are over), `actions` and `log_probs` (E,) each (`log_probs` is None with exploration in rule space).
    `values` is None: the critic is evaluated after the rollout. `n_steps` counts time steps of the rollout. The five of
    events are None where whole episodes run in compiled loops, and where no synapse is plastic any more.

    Most steps have neither reward nor end; they share the same read-only arrays.

    Args:
        num_lifetimes: B.
        start_time: Start of learning, in seconds of `time.time`.
    """

    def __init__(self, num_lifetimes: int, start_time: float) -> None:
        self._num_lifetimes = num_lifetimes
        self._start_time = start_time
        self._no_rewards = np.zeros(num_lifetimes, dtype=np.float32)
        self._no_dones = np.zeros(num_lifetimes, dtype=np.bool_)
        self._no_rewards.flags.writeable = self._no_dones.flags.writeable = False
        self._episode_return = np.zeros(num_lifetimes, dtype=np.float32)  # of the episodes in progress
        self.n_steps = 0

    def begin_episode(self) -> None:
        """Start an episode of all lifetimes."""
        self._episode_return[:] = 0.0

    def answered(
        self,
        engine: Engine,
        events: SynapseEvents,
        actions: Tensor,
        log_probs: Tensor | None,
        then: SynapseEvents | None,
    ) -> dict[str, Any]:
        """Return the values of the time step just acted on."""
        values = {"obs_tensor": events, "new_obs": then, "actions": actions, "log_probs": log_probs, "values": None}
        outcome = engine.last_outcome
        if outcome is None:
            return values | self._step(self._no_rewards, self._no_dones, [{} for _ in range(self._num_lifetimes)])
        rows = outcome.rows.cpu().numpy()
        rewards, dones = self._no_rewards.copy(), self._no_dones.copy()
        rewards[rows] = outcome.reward.cpu().numpy()
        self._episode_return += rewards
        dones[rows] = (outcome.terminated | outcome.truncated).cpu().numpy()
        cut = self._no_dones.copy()
        cut[rows] = (outcome.truncated & ~outcome.terminated).cpu().numpy()
        return values | self._step(rewards, dones, self._infos(dones, cut, self._episode_return, engine.steps))

    def of_episode(self, result: EpisodeResult) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield, for each time step of an episode without events to act on, how many lifetimes took it, and its values.

        What holds for the whole episode is worked out once, and a step without rewards and ends costs next to nothing.
        """
        values = dict.fromkeys(("obs_tensor", "new_obs", "actions", "log_probs", "values"))
        length, truncated = result.length.cpu().numpy(), result.truncated.cpu().numpy().astype(np.bool_)  # (B,) each
        returns = result.reward.cpu().numpy()  # (B,)
        paid, ends = set(result.payment_steps.tolist()), set(length.tolist())
        for done in range(1, max(ends) + 1):
            rewards, dones = self._no_rewards, self._no_dones
            if done in paid:
                rewards = result.payments[:, result.payment_steps == done].sum(dim=1).cpu().numpy()  # (B,)
            if done in ends:
                dones = length == done
            taken = self._num_lifetimes if done <= min(ends) else int(np.count_nonzero(length >= done))
            yield taken, values | self._step(rewards, dones, self._infos(dones, dones & truncated, returns, length))

    def _step(
        self, rewards: NDArray[np.float32], dones: NDArray[np.bool_], infos: list[dict[str, Any]]
    ) -> dict[str, Any]:
        self.n_steps += 1
        return {"rewards": rewards, "dones": dones, "infos": infos, "n_steps": self.n_steps}

    def _infos(
        self, dones: NDArray[np.bool_], cut: NDArray[np.bool_], returns: NDArray[Any], lengths: NDArray[np.int64]
    ) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self._num_lifetimes)]
        if dones is self._no_dones:
            return infos
        seconds = time.time() - self._start_time
        for row in np.flatnonzero(dones).tolist():
            episode = {"r": float(returns[row]), "l": int(lengths[row]), "t": seconds}
            infos[row] = {"episode": episode, "TimeLimit.truncated": bool(cut[row])}
        return infos


def episode_infos(result: EpisodeResult, seconds: float) -> list[dict[str, Any]]:
    """Return infos in the form of Stable-Baselines3's Monitor, from which it makes its own statistics."""
    pairs = zip(result.reward.tolist(), result.length.tolist(), strict=True)
    return [{"episode": {"r": reward, "l": length, "t": seconds}} for reward, length in pairs]
