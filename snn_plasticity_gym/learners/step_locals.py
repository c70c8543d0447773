"""What callbacks of Stable-Baselines3 find in their `locals` at a time step of a rollout.

Axes: B lifetimes, E events.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.plasticity.events import SynapseEvents


class StepLocals:
    """Names and meanings of Stable-Baselines3's own rollouts, with events where those have observations.

    `rewards` (B,), `dones` (B,) and `infos` are those of a time step: what was paid in it, whose episode it ended, and
    for those `episode` as Monitor gives it and `TimeLimit.truncated`. `obs_tensor` are the events that were answered,
    `new_obs` those that wait now (None: all episodes are over), `actions` and `log_probs` (E,) each (`log_probs` is
    None where whole rules are explored). `values` is None: the critic judges events after the rollout. `n_steps`
    counts time steps of the rollout. The five of events are None where whole episodes are lived in compiled loops, and
    where no synapse is plastic any more.

    Most steps pay nothing and end nothing; they share the same arrays, which cannot be written to.

    Args:
        num_lifetimes: B.
        start_time: When learning began, in seconds of `time.time`.
    """

    def __init__(self, num_lifetimes: int, start_time: float) -> None:
        self._num_lifetimes = num_lifetimes
        self._start_time = start_time
        self._nothing_paid = np.zeros(num_lifetimes, dtype=np.float32)
        self._nobody = np.zeros(num_lifetimes, dtype=np.bool_)
        self._nothing_paid.flags.writeable = self._nobody.flags.writeable = False
        self._earned = np.zeros(num_lifetimes, dtype=np.float32)  # in the episodes under way
        self.n_steps = 0

    def begin_episode(self) -> None:
        """Begin an episode of all lifetimes."""
        self._earned[:] = 0.0

    def answered(
        self,
        engine: Engine,
        events: SynapseEvents,
        actions: Tensor,
        log_probs: Tensor | None,
        then: SynapseEvents | None,
    ) -> dict[str, Any]:
        """Return the values of the time step that has just been answered."""
        seen = {"obs_tensor": events, "new_obs": then, "actions": actions, "log_probs": log_probs, "values": None}
        paid = engine.last_outcome
        if paid is None:
            return seen | self._step(self._nothing_paid, self._nobody, [{} for _ in range(self._num_lifetimes)])
        rows = paid.rows.cpu().numpy()
        rewards, dones = self._nothing_paid.copy(), self._nobody.copy()
        rewards[rows] = paid.reward.cpu().numpy()
        self._earned += rewards
        dones[rows] = (paid.terminated | paid.truncated).cpu().numpy()
        cut = self._nobody.copy()
        cut[rows] = (paid.truncated & ~paid.terminated).cpu().numpy()
        return seen | self._step(rewards, dones, self._infos(dones, cut, self._earned, engine.steps))

    def of_episode(self, result: EpisodeResult, step: int) -> dict[str, Any]:
        """Return the values of a time step, from 0, of an episode that nobody had to answer."""
        seen = dict.fromkeys(("obs_tensor", "new_obs", "actions", "log_probs", "values"))
        length = result.length.cpu().numpy()  # (B,)
        paid = result.payments[:, result.payment_steps == step + 1].sum(dim=1)  # (B,)
        dones = length == step + 1
        cut = dones & result.truncated.cpu().numpy().astype(np.bool_)
        infos = self._infos(dones, cut, result.reward.cpu().numpy(), length)
        return seen | self._step(paid.cpu().numpy(), dones, infos)

    def _step(
        self, rewards: NDArray[np.float32], dones: NDArray[np.bool_], infos: list[dict[str, Any]]
    ) -> dict[str, Any]:
        self.n_steps += 1
        return {"rewards": rewards, "dones": dones, "infos": infos, "n_steps": self.n_steps}

    def _infos(
        self, dones: NDArray[np.bool_], cut: NDArray[np.bool_], earned: NDArray[Any], lengths: NDArray[np.int64]
    ) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self._num_lifetimes)]
        seconds = time.time() - self._start_time
        for row in np.flatnonzero(dones).tolist():
            episode = {"r": float(earned[row]), "l": int(lengths[row]), "t": seconds}
            infos[row] = {"episode": episode, "TimeLimit.truncated": bool(cut[row])}
        return infos


def episode_infos(result: EpisodeResult, seconds: float) -> list[dict[str, Any]]:
    """Return infos in the form of Stable-Baselines3's Monitor, from which it makes its own statistics."""
    pairs = zip(result.reward.tolist(), result.length.tolist(), strict=True)
    return [{"episode": {"r": reward, "l": length, "t": seconds}} for reward, length in pairs]
