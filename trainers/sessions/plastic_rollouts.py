"""Rollouts of a plastic network in environments: data of an update, and whole episodes for evaluation.

Axes: n actions of each world, B worlds, R lifetimes of one call, T ms of an action, I input neurons, D observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.learners.plastic_actor import PlasticActor
from snn_plasticity_gym.rules.carried_states import chosen_rows, from_leaves, leaves_of, some_rows
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.utils.state import State

LARGEST_REWARD = 10.0  # in units of the running deviation of returns


class Rollout(NamedTuple):
    """Data of one update."""

    buffer: RolloutBuffer  # observations, actions, values, log-probabilities, advantages, returns, (n, B, ...)
    spikes: NDArray[np.bool_]  # (n, T, B, I) of the inputs
    begins: NDArray[np.bool_]  # (n, B) whether an episode starts with the action
    states: list[Any]  # of both layers in all environments before actions 0, truncation, 2 truncation, ...
    reward: float  # mean per action, unscaled


class Episodes(NamedTuple):
    """Whole episodes."""

    returns: NDArray[np.float64]  # (episodes,) sums of rewards
    lengths: NDArray[np.int64]  # (episodes,) actions
    hidden_rate: float  # spikes per neuron and second
    output_rate: float


class RolloutCollector:
    """Collects rollouts of a network in vectorized environments, from update to update.

    Rewards are divided by the running deviation of discounted returns, as in Stable-Baselines3's VecNormalize. The
    bootstrapped value after a truncation is added to the last reward.

    Args:
        config: Settings.
        actor: The acting network.
        worlds: num_worlds environments.
        starts: Source of the seeds of episodes.
        inputs: Source of input spikes.
        noise: Source of actions, of the device.
    """

    def __init__(
        self,
        config: PlasticConfig,
        actor: PlasticActor,
        worlds: Worlds,
        starts: np.random.Generator,
        inputs: np.random.Generator,
        noise: torch.Generator,
    ) -> None:
        self._config, self._actor, self._worlds = config, actor, worlds
        self._starts, self._inputs, self._noise = starts, inputs, noise
        self.ended_episodes = 0  # episodes that have ended
        self._states: Any = None  # of both layers; None before the first episode
        self._begins = np.ones(config.num_worlds, dtype=bool)  # (B,) whether an episode starts with the next action
        self._discounted = np.zeros(config.num_worlds)  # (B,) returns so far
        self._spread = RunningMeanStd(shape=())

    @torch.no_grad()
    def run(self, length: int) -> Rollout:
        """Collect `length` actions in each environment, continuing from the last call."""
        config, actor, worlds = self._config, self._actor, self._worlds
        rows = list(range(config.num_worlds))
        if self._states is None:
            worlds.reset(rows, self._seeds(len(rows)))
            self._states = actor.network.rest(len(rows))
        buffer = RolloutBuffer(
            length, worlds.observation_space, worlds.action_space, "cpu", config.gae_lambda, config.gamma, len(rows)
        )
        shown, begins, states, total_reward = [], [], [], 0.0
        for step in range(length):
            if step % config.truncation == 0:
                states.append(self._states)
            observation = worlds.observations(rows)  # (B, D)
            spikes = actor.encode(observation, self._inputs)  # (T, B, I)
            done, self._states = actor.network.carry_on(self._states, spikes.to(observation))
            policy = actor.policy(done.output.sum(dim=0))
            action = actor.draw(policy, self._noise)  # (B, A) or (B,)
            now = worlds.step(rows, actor.to_world(action))
            total_reward += float(now.reward.mean())
            ended = (now.terminated | now.truncated).cpu().numpy()  # (B,)
            reward = self._scaled(now.reward.cpu().numpy().astype(np.float64), ended)
            cut = (now.truncated & ~now.terminated).cpu().numpy()
            if cut.any():
                reward = reward + config.gamma * cut * actor.value(now.observation).cpu().numpy()
            buffer.add(
                observation.cpu().numpy(), action.cpu().numpy(), reward, self._begins, actor.value(observation).cpu(),
                policy.log_prob(action).cpu(),
            )  # fmt: skip
            shown.append(spikes.cpu().numpy())
            begins.append(self._begins)
            self._begins = ended
            if ended.any():
                which = np.flatnonzero(ended).tolist()
                worlds.reset(which, self._seeds(len(which)))
                fresh = torch.from_numpy(ended).to(observation.device)
                self._states = chosen_rows(fresh, actor.network.rest(len(rows)), self._states)
                self.ended_episodes += len(which)
        last = actor.value(worlds.observations(rows)).cpu()  # (B,)
        buffer.compute_returns_and_advantage(last, self._begins)
        return Rollout(buffer, np.stack(shown), np.stack(begins), states, total_reward / length)

    def state_dict(self) -> State:
        """Return the complete state."""
        return {
            "worlds": self._worlds.state_dict(),
            "layers": [] if self._states is None else leaves_of(self._states),
            "starts": self._starts.bit_generator.state,
            "inputs": self._inputs.bit_generator.state,
            "noise": self._noise.get_state(),
            "lived": self.ended_episodes,
            "begins": torch.from_numpy(self._begins),
            "discounted": torch.from_numpy(self._discounted),
            "spread": [float(self._spread.mean), float(self._spread.var), float(self._spread.count)],
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self._worlds.load_state_dict(state["worlds"])
        rest = self._actor.network.rest(len(self._begins))
        self._states = from_leaves(state["layers"], rest) if state["layers"] else None
        self._starts.bit_generator.state = state["starts"]
        self._inputs.bit_generator.state = state["inputs"]
        self._noise.set_state(state["noise"])
        self.ended_episodes = state["lived"]
        self._begins, self._discounted = state["begins"].numpy(), state["discounted"].numpy()
        mean, var, self._spread.count = state["spread"]
        self._spread.mean, self._spread.var = np.float64(mean), np.float64(var)

    def _seeds(self, count: int) -> list[int]:
        seeds: list[int] = self._starts.integers(2**29, size=count).tolist()
        return seeds

    def _scaled(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return rewards over the running deviation of returns, (B,)."""
        returns = self._config.gamma * self._discounted + reward  # (B,)
        self._spread.update(returns)
        self._discounted = np.where(ended, 0.0, returns)
        return np.clip(reward / np.sqrt(self._spread.var + 1e-8), -LARGEST_REWARD, LARGEST_REWARD)


@torch.no_grad()
def run_episodes(
    actor: PlasticActor, worlds: Worlds, seeds: Sequence[int], seed: int, action_noise: float = 0.0
) -> Episodes:
    """Run whole episodes by the most likely actions.

    Args:
        actor: The acting network.
        worlds: At least as many environments as episodes.
        seeds: Of the episodes, R.
        seed: Of input spikes, and of the noise.
        action_noise: As `PlasticActor.disturb` takes it.
    """
    rng = np.random.default_rng(seed)
    observation = worlds.reset(range(len(seeds)), seeds)  # (R, D)
    noise = torch.Generator(observation.device).manual_seed(seed)
    states, alive = actor.network.rest(len(seeds)), list(range(len(seeds)))
    returns, lengths, rates = np.zeros(len(seeds)), np.zeros(len(seeds), dtype=np.int64), np.zeros(2)
    while alive:
        spikes = actor.encode(observation, rng)  # (T, R, I)
        done, states = actor.network.carry_on(states, spikes.to(observation))
        action = actor.most_likely(done.output.sum(dim=0))  # (R, A) or (R,)
        if action_noise:
            action = actor.disturb(action, action_noise, noise)
        now = worlds.step(alive, actor.to_world(action))
        returns[alive] += now.reward.cpu().numpy()
        lengths[alive] += 1
        rates += [float(layer.mean(dim=(0, 2)).sum()) for layer in done]
        staying = ~(now.terminated | now.truncated)  # (R,)
        alive = [row for row, stays in zip(alive, staying.tolist(), strict=True) if stays]
        observation, states = now.observation[staying], some_rows(states, staying)
    hidden, output = 1000 * rates / lengths.sum()
    return Episodes(returns, lengths, float(hidden), float(output))
