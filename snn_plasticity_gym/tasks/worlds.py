"""Gymnasium environments in which networks act: one copy for each lifetime.

Axes: B lifetimes, R the lifetimes of one call, D numbers of an observation, A dimensions of a Box action.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.kernels.worlds import World
from snn_plasticity_gym.tasks.compiled_worlds import begin_episode, end_episode, world_tables
from snn_plasticity_gym.tasks.world_copies import WorldCopies
from snn_plasticity_gym.tasks.world_pictures import NoPictureError, draw, one_line
from snn_plasticity_gym.tasks.world_spaces import (
    check_actions,
    flat_observations,
    flatten_observation,
    world_action,
)
from snn_plasticity_gym.utils.state import State


class WorldError(ValueError):
    """A world violated the Gymnasium interface; one line with its id, the lifetime and the step."""


class WorldStep(NamedTuple):
    """Step result of each of R lifetimes."""

    observation: Tensor  # float32 (R, D)
    reward: Tensor  # float32 (R,)
    terminated: Tensor  # bool (R,)
    truncated: Tensor  # bool (R,)
    infos: list[dict[str, Any]]  # R


class Move(NamedTuple):
    """Step result of one lifetime."""

    observation: NDArray[np.float32]  # (D,)
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclasses.dataclass
class _Episode:
    """Seed, actions and present state of an episode."""

    seed: int
    observation: NDArray[np.float32]  # (D,) the latest
    actions: list[NDArray[Any]] = dataclasses.field(default_factory=list)  # () of Discrete, (A,) of Box
    ended: bool = False


class Worlds:
    """B independent copies of a Gymnasium environment.

    Observations are flattened to D numbers: Box as it is, Discrete, MultiDiscrete and MultiBinary one-hot or as bits,
    Dict and Tuple of those end to end (`gymnasium.spaces.flatten`). Actions are Discrete or Box.

    Every episode is a function of its seed and actions. So an episode can be resumed within: the state holds seed and
    actions, and a missing world (after `load_state_dict`, in another process) is made again and replayed through them
    before its next step.

    The copies are stepped one by one. Vectorised forms of some environments draw the initial states of all rows from
    one random stream, so that a lifetime would depend on the number of others, and they cannot reset one row with a
    seed.

    Args:
        id: As for `gymnasium.make`: "CartPole-v1", or "module:Id-v0" for a module that registers it.
        num_lifetimes: B.
        attributes: New values of numeric attributes of the unwrapped environment.
        flipped_after: Steps of an episode after which actions are reversed (`FlippedActions`); None: never.
        world_kwargs: Further arguments of `gymnasium.make`, e.g. max_episode_steps or the environment's own.
        render: Make worlds that can render; training needs no rendering package.
        device: Of the tensors.

    Raises:
        ConfigError: There is no such world, it cannot be made, or its spaces are not supported.
    """

    observation_space: spaces.Box  # (D,) float32
    action_space: spaces.Discrete | spaces.Box  # as the world declares it

    def __init__(
        self,
        id: str,
        num_lifetimes: int,
        *,
        world_kwargs: Mapping[str, Any] | None = None,
        attributes: Mapping[str, float] | None = None,
        flipped_after: int | None = None,
        render: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.id = id
        self.num_lifetimes = num_lifetimes
        self._copies = WorldCopies(id, world_kwargs, attributes, flipped_after, render)
        self.device = device
        self._envs: list[gymnasium.Env[Any, Any] | None] = [None] * num_lifetimes
        self._current = [False] * num_lifetimes  # whether the environment is in the episode's state
        self._episodes: list[_Episode | None] = [None] * num_lifetimes
        first = self._copies.make()
        self._envs[0] = first
        self._raw_space = first.observation_space
        self.observation_space = flat_observations(id, first.observation_space)
        self.action_space = check_actions(id, first.action_space)
        self.max_episode_steps = first.spec.max_episode_steps if first.spec is not None else None  # None: no limit

    def allow_pictures(self) -> None:
        """Enable `frame` from now on; worlds made without rendering are made again when needed."""
        if not self._copies.render:
            self.close()
            self._copies.render = True

    def actions(self, row: int) -> list[NDArray[Any]]:
        """Return the actions of a lifetime's episode so far, () of Discrete, (A,) of Box.

        Raises:
            WorldError: The episode has not started.
        """
        return [action.copy() for action in self._episode(row).actions]

    def reset(self, rows: Tensor | Sequence[int], seeds: Sequence[int]) -> Tensor:
        """Start an episode in some lifetimes.

        Args:
            rows: The lifetimes, R of them.
            seeds: Of their episodes, not negative.

        Returns:
            First observations, float32 (R, D).

        Raises:
            WorldError: A world raised, or returned no valid observation.
        """
        for row, seed in zip(_integers(rows), seeds, strict=True):
            self._begin(row, int(seed))
        return self.observations(rows)

    def step(self, rows: Tensor | Sequence[int], actions: Tensor) -> WorldStep:
        """Act in some lifetimes.

        Args:
            rows: The lifetimes, R of them; their episodes have not ended.
            actions: Of a Discrete space int64 (R,), counted from 0 whatever its `start`; of a Box space (R, A).

        Raises:
            WorldError: A world raised, or returned no valid observation or reward; an action is not in its space; or an
                episode has not started or has ended.
        """
        numbers = _integers(rows)
        given = actions.detach().cpu().numpy()  # (R,) or (R, A)
        done = [self.move(row, action) for row, action in zip(numbers, given, strict=True)]
        return WorldStep(
            self.observations(numbers),
            torch.tensor([one.reward for one in done], dtype=torch.float32, device=self.device),
            torch.tensor([one.terminated for one in done], dtype=torch.bool, device=self.device),
            torch.tensor([one.truncated for one in done], dtype=torch.bool, device=self.device),
            [one.info for one in done],
        )

    def move(self, row: int, action: NDArray[Any]) -> Move:
        """Act in one lifetime; arguments and errors as in `step`, () or (A,)."""
        episode = self._episode(row)
        if episode.ended:
            raise WorldError(f"world {self.id!r}, lifetime {row}: the episode has ended; call reset first")
        env = self._env(row)
        with self._world_errors(row, f"step {len(episode.actions)}"):
            given = world_action(self.action_space, action)
            self._current[row] = False  # until the step has succeeded
            observation, reward, terminated, truncated, info = env.step(given)
            flat = flatten_observation(self._raw_space, observation)  # (D,)
            outcome = Move(flat, float(np.asarray(reward).item()), bool(terminated), bool(truncated), info)
            if not math.isfinite(outcome.reward):
                raise ValueError(f"the reward must be a finite number, got {outcome.reward}")
        episode.observation = flat
        episode.actions.append(np.array(action))
        episode.ended = outcome.terminated or outcome.truncated
        self._current[row] = True
        return outcome

    def observations(self, rows: Tensor | Sequence[int]) -> Tensor:
        """Return the latest observations of some lifetimes, float32 (R, D).

        Raises:
            WorldError: An episode has not started.
        """
        latest = np.empty((len(rows), *self.observation_space.shape), dtype=np.float32)  # (R, D)
        for place, row in enumerate(_integers(rows)):
            latest[place] = self._episode(row).observation
        return torch.from_numpy(latest).to(self.device)

    def tables(self) -> World | None:
        """Return the tables of the worlds for compiled loops; None: not supported by loops."""
        return world_tables(self._env(0), self.num_lifetimes)

    def begin(self, tables: World) -> None:
        """Set the tables of all worlds to the initial states of their episodes."""
        for row in range(self.num_lifetimes):
            begin_episode(self._env(row), row, tables)

    def lived(self, row: int, actions: NDArray[np.int64], tables: World) -> None:
        """Store the episode of a lifetime after it was run in compiled loops.

        Args:
            row: Lifetime.
            actions: From the episode's first to its last, (steps,).
            tables: Final states.
        """
        episode = self._episode(row)
        end_episode(self._env(row), row, tables)
        episode.actions.extend(actions)
        episode.observation = tables.state[row].astype(np.float32)
        episode.ended = True

    def frame(self, row: int) -> NDArray[np.uint8] | None:
        """Return a picture of a lifetime's world, uint8 (H, W, 3), or None where it cannot be drawn.

        The first time, a warning gives the reason, e.g. a missing package.

        Raises:
            ConfigError: The worlds were not made with render=True.
            WorldError: The episode has not started.
        """
        if not self._copies.render:
            raise ConfigError(f"world {self.id!r} was made without pictures; make it with render=True")
        self._episode(row)
        try:
            return draw(self._env(row))
        except NoPictureError as error:  # not fatal
            self._copies.warn_of_no_picture(str(error))
            return None

    def close(self) -> None:
        """Close all environments; they are made again when needed."""
        for env in self._envs:
            if env is not None:
                env.close()
        self._forget()

    def state_dict(self) -> State:
        """Return the episodes: seeds, actions so far, and latest observations; None where none has started."""
        return {
            "episodes": [
                None
                if episode is None
                else {
                    "seed": episode.seed,
                    "actions": torch.from_numpy(np.array(episode.actions)),  # (steps,) or (steps, A)
                    "observation": torch.from_numpy(episode.observation.copy()),  # (D,)
                    "ended": episode.ended,
                }
                for episode in self._episodes
            ]
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`; worlds replay the actions before their next step.

        Raises:
            ValueError: The state is one of another number of lifetimes, or of other worlds.
        """
        saved = state["episodes"]
        if len(saved) != self.num_lifetimes:
            raise ValueError(f"the state must hold {self.num_lifetimes} episodes, got {len(saved)}")
        episodes = [None if one is None else _restored(one) for one in saved]
        for episode in episodes:
            if episode is not None and episode.observation.shape != self.observation_space.shape:
                raise ValueError(
                    f"observations of the state must have shape {self.observation_space.shape}, as those of "
                    f"{self.id!r} have, got {episode.observation.shape}"
                )
        self._episodes = episodes
        self._current = [False] * self.num_lifetimes

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the environments."""
        nothing = {"_envs": [None] * self.num_lifetimes, "_current": [False] * self.num_lifetimes}
        return self.__dict__ | nothing

    def _forget(self) -> None:
        self._envs = [None] * self.num_lifetimes
        self._current = [False] * self.num_lifetimes

    def _env(self, row: int) -> gymnasium.Env[Any, Any]:
        """Return the environment of a lifetime, in its episode's state."""
        env = self._envs[row]
        if env is None:
            env = self._envs[row] = self._copies.make()
            if env.observation_space != self._raw_space or env.action_space != self.action_space:
                raise WorldError(f"world {self.id!r}: its spaces differ from copy to copy")
        episode = self._episodes[row]
        if episode is not None and not self._current[row]:
            self._replay(row, env, episode)
        return env

    def _episode(self, row: int) -> _Episode:
        episode = self._episodes[row]
        if episode is None:
            raise WorldError(f"world {self.id!r}, lifetime {row}: no episode has begun; call reset first")
        return episode

    def _begin(self, row: int, seed: int) -> None:
        self._episodes[row], self._current[row] = None, False
        env = self._env(row)
        with self._world_errors(row, "reset"):
            observation, _ = env.reset(seed=seed)
            flat = flatten_observation(self._raw_space, observation)  # (D,)
        self._episodes[row], self._current[row] = _Episode(seed, flat), True

    def _replay(self, row: int, env: gymnasium.Env[Any, Any], episode: _Episode) -> None:
        """Replay an episode in an environment."""
        with self._world_errors(row, f"its first {len(episode.actions)} steps, taken again"):
            observation, _ = env.reset(seed=episode.seed)
            for action in episode.actions:
                observation = env.step(world_action(self.action_space, action))[0]
            if not np.array_equal(flatten_observation(self._raw_space, observation), episode.observation):
                raise ValueError("they lead to another observation; a world must depend on seed and actions alone")
        self._current[row] = True

    @contextmanager
    def _world_errors(self, row: int, when: str) -> Iterator[None]:
        """Convert exceptions of a world, and of checks of its outputs, to `WorldError`, with lifetime and step."""
        try:
            yield
        except Exception as error:
            raise WorldError(f"world {self.id!r}, lifetime {row}, {when}: {one_line(error)}") from error


def _restored(saved: State) -> _Episode:
    observation, actions = saved["observation"].cpu().numpy().copy(), saved["actions"].cpu().numpy()
    return _Episode(saved["seed"], observation, list(actions), saved["ended"])


def _integers(rows: Tensor | Sequence[int]) -> list[int]:
    return rows.tolist() if isinstance(rows, Tensor) else [int(row) for row in rows]
