"""Learner in a Gymnasium environment: whole episodes, a linear critic, the score function of REINFORCE or PPO.

Axes: E episodes side by side, D observations, S inputs, A actions, M actions of all episodes of an update.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.agents import Agent
from snn_plasticity_gym.learners.svpg import clipped_factor
from snn_plasticity_gym.networks.observation_encoders import GaussianPopulation
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.trainers.sessions.svpg_learner import Learner
from snn_plasticity_gym.utils.state import State

FIRST_SEED = {"validation": 1_000_000_000, "test": 1_100_000_000}  # of held-out episodes; training's are below 2^29
EPISODES = {"validation": 30, "test": 100}
FORGETTING = 0.97  # of the critic's regression, per episode
SPREAD_DECAY = 0.95  # of the running standard deviation of advantages, per episode


class Trajectories(NamedTuple):
    """Transitions of some episodes, in order of time within each, one episode after the other."""

    inputs: Tensor  # (M, S)
    action: Tensor  # (M,)
    probability: Tensor  # of that action when it was drawn, (M,)
    reward: Tensor  # (M,)
    lengths: list[int]  # E
    last_inputs: Tensor  # after the last action of each episode, (E, S)
    truncated: Tensor  # whether it was truncated, not terminated, (E,)


class ActingWorld:
    """An environment with inputs encoded in [0, 1] and discrete actions.

    Args:
        config: Environment, encoding, values of actions.
        most: Largest number of parallel episodes.
        device: Of the tensors.

    Raises:
        ConfigError: There is no such environment, or its observations or actions do not match the settings.
    """

    def __init__(self, config: SVPGConfig, most: int, device: torch.device) -> None:
        self._worlds = Worlds(config.world, most, world_kwargs=json.loads(config.world_kwargs), device=device)
        size = self._worlds.observation_space.shape[0]  # D
        scale = config.observation_scale or (1.0,) * size
        if len(scale) != size:
            raise ConfigError(f"observation_scale must be {size} numbers, one for each observation, got {len(scale)}")
        self._scale = torch.tensor(scale, device=device)
        space = self._worlds.action_space
        if isinstance(space, spaces.Discrete):
            if config.action_values:
                raise ConfigError(f"actions of {config.world} are Discrete, so action_values cannot be given")
            self._values, self.num_actions = None, int(space.n)
        else:
            if space.shape not in ((), (1,)) or len(config.action_values) < 2:
                raise ConfigError(
                    f"an action of {config.world} has shape {space.shape}; it must be one number, and action_values at "
                    f"least two of its values, got {list(config.action_values)}"
                )
            beyond = [value for value in config.action_values if not space.low.item() <= value <= space.high.item()]
            if beyond:
                raise ConfigError(f"action_values must lie within {space}, got {beyond[0]}")
            self._values, self.num_actions = (
                torch.tensor(config.action_values, device=device),
                len(config.action_values),
            )
        one = np.ones(size)
        self._code = GaussianPopulation(-one, one, config.fields, width=1.0, device=device)
        self.num_inputs = self._code.size

    def run(self, agent: Agent, seeds: Sequence[int], noise: torch.Generator | None) -> Trajectories:
        """Run whole episodes in parallel.

        Args:
            agent: The acting agent.
            seeds: Of the episodes.
            noise: Source of actions; None: greedy, by the agent's evaluation policy.
        """
        count = len(seeds)
        inputs = self._encode(self._worlds.reset(range(count), seeds))  # (E, S)
        alive = list(range(count))
        steps: list[list[tuple[Tensor, Tensor, Tensor, Tensor]]] = [[] for _ in range(count)]
        last = torch.zeros_like(inputs)
        cut = torch.zeros(count, dtype=torch.bool, device=inputs.device)
        while alive:
            with torch.no_grad():
                policy = agent.judge(inputs) if noise is None else agent.look(inputs).policy  # (R, A)
            if noise is None:
                action = policy.argmax(dim=1)
            else:
                action = torch.multinomial(policy.clamp_min(1e-9), 1, generator=noise)[:, 0]  # (R,)
            probability = policy.gather(1, action[:, None])[:, 0]
            done = self._worlds.step(alive, action if self._values is None else self._values[action][:, None])
            after = self._encode(done.observation)
            for place, row in enumerate(alive):
                steps[row].append((inputs[place], action[place], probability[place], done.reward[place]))
            ended = (done.terminated | done.truncated).tolist()
            for place, row in enumerate(alive):
                if ended[place]:
                    last[row], cut[row] = after[place], not done.terminated[place]
            staying = [place for place in range(len(alive)) if not ended[place]]
            alive, inputs = [alive[place] for place in staying], after[staying]
        flat = [torch.stack(column) for column in zip(*(step for row in steps for step in row), strict=True)]
        return Trajectories(flat[0], flat[1], flat[2], flat[3], [len(row) for row in steps], last, cut)

    def _encode(self, observation: Tensor) -> Tensor:
        return self._code.activation((observation * self._scale).clamp(-1.0, 1.0))


class WorldLearner(Learner):
    """Updates after every `batch_size` episodes: advantages by a linear critic, then `epochs` passes over all actions.

    The critic is a ridge regression of discounted returns on the inputs, which forgets old episodes. The third factor
    is the advantage over its running standard deviation, for PPO times the probability ratio until the clip.

    Args:
        config: Settings of learning.
        agent: The agent to train.
        world: Its environment.
        order: Source of the seeds of episodes.
        noise: Source of actions, of the device.
    """

    def __init__(
        self, config: SVPGConfig, agent: Agent, world: ActingWorld, order: np.random.Generator, noise: torch.Generator
    ) -> None:
        super().__init__(config, agent, 0.05)
        self._world, self._order, self._noise = world, order, noise
        size = world.num_inputs + 1
        self._critic = {
            "weights": torch.zeros(size, dtype=torch.float64),
            "products": torch.zeros(size, size, dtype=torch.float64),
            "targets": torch.zeros(size, dtype=torch.float64),
        }
        self._spread = 1.0

    def steps(self) -> Iterator[None]:
        """See `Learner`."""
        while self.episodes < self.total:
            count = min(self._config.batch_size, self.total - self.episodes)
            trajectories = self._world.run(self.agent, self._order.integers(2**29, size=count).tolist(), self._noise)
            factor = self._advantages(trajectories)
            for _ in range(self._config.epochs):
                self._update(trajectories, factor)
            self.episodes += count
            self._count(count, reward=float(trajectories.reward.sum()), actions=float(len(trajectories.action)))
            yield

    def judge(self, part: str) -> float:
        """Return the mean return of held-out episodes, with fixed initial states, acting greedily."""
        return float(self.returns(part).mean())

    def returns(self, part: str) -> Tensor:
        """Return the sum of rewards of each held-out episode, (E,)."""
        num_episodes = self._config.test_episodes if part == "test" else self._config.eval_episodes
        first = FIRST_SEED[part]
        trajectories = self._world.run(self.agent, range(first, first + (num_episodes or EPISODES[part])), None)
        return torch.stack([rewards.sum() for rewards in trajectories.reward.split(trajectories.lengths)])

    def state_dict(self) -> State:
        """See `Learner`."""
        own = {
            "noise": self._noise.get_state(),
            "order": self._order.bit_generator.state,
            "critic": dict(self._critic),
            "spread": self._spread,
        }
        return super().state_dict() | own

    def load_state_dict(self, state: State) -> None:
        """See `Learner`."""
        super().load_state_dict(state)
        self._noise.set_state(state["noise"])
        self._order.bit_generator.state = state["order"]
        self._critic = dict(state["critic"])
        self._spread = state["spread"]

    def _update(self, trajectories: Trajectories, advantage: Tensor) -> None:
        look = self.agent.look(trajectories.inputs)
        factor = advantage
        if self._config.clip_range is not None:
            factor = clipped_factor(
                look.policy.detach(), trajectories.action, trajectories.probability, advantage, self._config.clip_range
            )
        self.agent.learn(trajectories.inputs, look, trajectories.action, factor, self._config.entropy)
        self._step()

    def _advantages(self, trajectories: Trajectories) -> Tensor:
        """Return discounted returns minus critic values, over their running deviation, (M,); update the critic."""
        gamma, parts = self._config.gamma, []
        for place, (inputs, reward) in enumerate(
            zip(
                trajectories.inputs.split(trajectories.lengths),
                trajectories.reward.split(trajectories.lengths),
                strict=True,
            )
        ):
            features = _with_one(inputs)  # (T, S + 1)
            ahead = float(_with_one(trajectories.last_inputs[place : place + 1])[0] @ self._critic["weights"])
            ahead = ahead if trajectories.truncated[place] else 0.0
            returns = torch.empty(len(reward), dtype=torch.float64)
            for step in range(len(reward) - 1, -1, -1):
                ahead = float(reward[step]) + gamma * ahead
                returns[step] = ahead
            advantage = returns - features @ self._critic["weights"]
            self._learn_critic(features, returns)
            self._spread = SPREAD_DECAY * self._spread + (1 - SPREAD_DECAY) * float(advantage.std(correction=0))
            parts.append(advantage / (self._spread + 1e-3))
        return torch.cat(parts).to(trajectories.inputs)

    def _learn_critic(self, features: Tensor, returns: Tensor) -> None:
        critic = self._critic
        critic["products"] = FORGETTING * critic["products"] + features.T @ features
        critic["targets"] = FORGETTING * critic["targets"] + features.T @ returns
        ridge = torch.eye(len(critic["targets"]), dtype=torch.float64)
        critic["weights"] = torch.linalg.solve(critic["products"] + ridge, critic["targets"])


def _with_one(inputs: Tensor) -> Tensor:
    """Append a constant to inputs (T, S), float64 on the CPU (T, S + 1)."""
    inputs = inputs.detach().cpu().double()
    return torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], dim=1)
