"""Changes of a world or a network: reversed actions, attributes, deaf neurons.

Axes: A dimensions of a Box action, n of Discrete actions, N neurons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.populations import Population
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR


class FlippedActions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Reverses actions from some step of each episode on; a wrapper of any Gymnasium environment.

    Discrete: action i is taken as n - 1 - i, or by `instead`. Box: x is taken as low + high - x, and as -x in
    dimensions without bounds. The agent gets no signal: observations, rewards and spaces are unchanged.

    Args:
        env: Discrete or Box actions.
        after: Steps of an episode before the change; 0: from the first step on.
        instead: For Discrete actions, the replacement of each, n numbers counted from 0; None: the order is
            reversed. In LunarLander, with actions none, left, main and right engine, [0, 3, 2, 1] swaps sides.

    Raises:
        ConfigError: Actions are neither, a dimension has one bound alone, `after` is negative, or `instead` does not
            name an action for each.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], after: int = 0, instead: Sequence[int] | None = None) -> None:
        RecordConstructorArgs.__init__(self, after=after, instead=instead)
        gymnasium.Wrapper.__init__(self, env)
        if isinstance(after, bool) or not isinstance(after, int | np.integer) or after < 0:
            raise ConfigError(f"after must be a whole number of steps, at least 0, got {after!r}")
        self.after = int(after)
        self.instead = _opposites(env.action_space, instead)  # (n,), of Box (0,)
        self._taken = 0  # steps of the episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode, first with unchanged actions."""
        self._taken = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step, from step `after` on with the opposite action."""
        given = action if self._taken < self.after else self._opposite(action)
        self._taken += 1
        return self.env.step(given)

    def _opposite(self, action: Any) -> Any:
        space = self.env.action_space
        if isinstance(space, spaces.Discrete):
            return space.dtype.type(space.start + self.instead[int(action) - int(space.start)])
        assert isinstance(space, spaces.Box)
        numbers = np.asarray(action, dtype=space.dtype)  # (A,)
        with np.errstate(invalid="ignore"):
            turned = np.where(np.isfinite(space.low), space.low + space.high - numbers, -numbers)
        return np.clip(turned, space.low, space.high).astype(space.dtype)


def _opposites(space: spaces.Space[Any], instead: Sequence[int] | None) -> NDArray[np.int64]:
    """Return the opposite of each Discrete action, counted from 0, (n,); nothing of a Box space, (0,)."""
    if isinstance(space, spaces.Discrete):
        count = int(space.n)
        table = np.arange(count)[::-1] if instead is None else np.asarray(instead)
        whole = table.shape == (count,) and np.issubdtype(table.dtype, np.integer)
        if not whole or (table < 0).any() or (table >= count).any():
            raise ConfigError(f"instead must name {count} actions from 0 to {count - 1}, got {instead!r}")
        return np.ascontiguousarray(table, dtype=np.int64)
    if not isinstance(space, spaces.Box):
        raise ConfigError(f"actions to reverse must be Discrete or Box, got {space}")
    if instead is not None:
        raise ConfigError(f"instead is for Discrete actions, got {instead!r} for {space}; leave it out")
    if (np.isfinite(space.low) != np.isfinite(space.high)).any():
        raise ConfigError(f"actions with one bound alone have no opposite, got {space}")
    return np.zeros(0, dtype=np.int64)


def change_attributes(env: gymnasium.Env[Any, Any], world: str, attributes: Mapping[str, Any]) -> None:
    """Set numeric attributes of the unwrapped environment; `world` is its id.

    Raises:
        ConfigError: It has no such number, or the given value is none.
    """
    for name, value in attributes.items():
        before = getattr(env.unwrapped, name, None)
        if isinstance(before, bool) or not isinstance(before, int | float | np.number):
            what = "has no such number" if before is None else f"has {type(before).__name__} there, no number"
            raise ConfigError(f"world_attributes: {name!r} of world {world!r}: it {what}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"world_attributes: {name!r} must be a finite number, got {value!r}")
        setattr(env.unwrapped, name, value)


def deaf_neurons(populations: Sequence[Population], share: float, device: torch.device) -> dict[str, Tensor]:
    """Return the mask of neurons of each hidden population that become deaf: the first ones, bool (N,) by name.

    Args:
        populations: Of the network.
        share: Of each hidden population, above 0.
        device: Of the tensors.

    Raises:
        ConfigError: There is no hidden population, a share is less than a neuron, or neurons have no refractory period:
            a deaf neuron stays refractory.
    """
    hidden = [one for one in populations if one.lif is not None and one.name not in (INPUT, MOTOR)]
    if not hidden:
        raise ConfigError(f"deaf={share:g} is a share of hidden neurons, and there are none; set hidden_sizes")
    for population in hidden:
        if not round(share * population.size):
            raise ConfigError(
                f"deaf={share:g} is no neuron of the {population.size} of {population.name!r}; raise it to "
                f"{1 / population.size:.2g} at least"
            )
        assert population.lif is not None
        if population.lif.refractory <= 0:
            raise ConfigError(
                f"deaf needs neurons with a refractory period, which does not end for deaf ones; set "
                f"refractory above 0, got {population.lif.refractory:g} in {population.name!r}"
            )
    return {
        one.name: torch.arange(one.size, device=device) < round(share * one.size)  # bool (N,)
        for one in hidden
    }
