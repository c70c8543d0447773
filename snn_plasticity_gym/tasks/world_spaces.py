"""Conversion between spaces of Gymnasium environments and flat arrays: observations (D,), actions (A,) or indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import ConfigError

_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def flat_observations(world: str, space: spaces.Space[Any]) -> spaces.Box:
    """Return the space of flattened observations, float32 (D,).

    Args:
        world: Its id, for messages.
        space: Box, Discrete, MultiDiscrete, MultiBinary, or Dict and Tuple of those.

    Raises:
        ConfigError: It is another kind, or its observations are empty.
    """
    if not _flattens(space):
        raise ConfigError(
            f"world {world!r}: observations must be Box, Discrete, MultiDiscrete, MultiBinary, or Dict and Tuple of "
            f"those, got {space}; wrap the world so that they are"
        )
    flat = spaces.flatten_space(space)
    assert isinstance(flat, spaces.Box)
    if not flat.shape[0]:
        raise ConfigError(f"world {world!r}: observations must hold a number at least, got {space}")
    with np.errstate(over="ignore"):  # bounds beyond single precision become infinite
        low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)  # (D,) both
    return spaces.Box(low, high, dtype=np.float32)


def _flattens(space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Dict):
        return all(_flattens(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return all(_flattens(part) for part in space.spaces)
    return isinstance(space, _LEAVES)


def flatten_observation(space: spaces.Space[Any], observation: Any) -> NDArray[np.float32]:
    """Return an observation of the space as numbers, (D,).

    Raises:
        ValueError: It is not in the space: of another shape, or NaN.
    """
    if isinstance(space, spaces.Box):
        with np.errstate(over="ignore"):  # as the bounds
            numbers = np.array(observation, dtype=np.float32)  # a copy: worlds may reuse their arrays
        if numbers.shape != space.shape:
            raise ValueError(f"the observation must have shape {space.shape}, got {numbers.shape}")
        flat = numbers.reshape(-1)  # (D,)
    else:
        with np.errstate(over="ignore"):  # as the bounds
            flat = np.array(spaces.flatten(space, observation), dtype=np.float32)  # (D,)
        if flat.shape != (spaces.flatdim(space),):
            raise ValueError(f"the observation must hold {spaces.flatdim(space)} numbers, got shape {flat.shape}")
    if np.isnan(flat).any():
        raise ValueError(f"the observation must be numbers, got NaN at {np.flatnonzero(np.isnan(flat)).tolist()}")
    return flat


def check_actions(world: str, space: spaces.Space[Any]) -> spaces.Discrete[Any] | spaces.Box:
    """Return the space of actions if it is Discrete or Box.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(space, spaces.Discrete | spaces.Box):
        raise ConfigError(
            f"world {world!r}: actions must be Discrete or Box, got {space}; wrap the world so that they are"
        )
    return space


def world_action(space: spaces.Discrete[Any] | spaces.Box, action: NDArray[Any]) -> Any:
    """Return an action in the form of the world's space.

    Args:
        space: The world's.
        action: For Discrete an index from 0, shape (), to which the space's `start` is added; for Box numbers (A,),
            rounded where the space is one of integers.

    Raises:
        ValueError: It is not in the space.
    """
    if isinstance(space, spaces.Discrete):
        if action.shape != () or not np.issubdtype(action.dtype, np.integer) or not 0 <= action < space.n:
            raise ValueError(f"the action must be an integer from 0 to {space.n - 1}, got {action}")
        return int(space.start) + int(action)
    low, high = space.low.reshape(-1), space.high.reshape(-1)  # (A,) both
    numbers = np.rint(action) if space.dtype.kind in "iu" else action  # (A,)
    if numbers.shape != low.shape or not _within(numbers, low, high):
        raise ValueError(f"the action must be one of {space}, got {action}")
    if numbers.dtype != space.dtype:
        numbers = np.clip(numbers.astype(space.dtype), low, high)  # an end may have been rounded outwards
    return numbers.reshape(space.shape)


def _within(numbers: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> bool:
    """Return whether numbers are within bounds, with all rounded to the precision of the numbers."""
    kind = numbers.dtype
    return bool(((numbers >= low.astype(kind)) & (numbers <= high.astype(kind))).all())  # NaN is not within
