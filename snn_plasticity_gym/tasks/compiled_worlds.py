"""Worlds supported by compiled loops: conversion between Gymnasium environments and tables.

Axes: B lifetimes, S numbers of a world's state.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv, MountainCarEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.worlds import CART_POLE, CUES, MOUNTAIN_CAR, CartPole, Cues, MountainCar, World
from snn_plasticity_gym.tasks.changes import FlippedActions
from snn_plasticity_gym.tasks.cue_association import CUE_STEPS, NUM_INPUTS
from snn_plasticity_gym.tasks.cue_world import CueAssociationEnv

_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker, TimeLimit)  # wrappers that change nothing but the end of episodes


def world_tables(env: gymnasium.Env[Any, Any], num_lifetimes: int) -> World | None:
    """Return the constants of a world, and arrays for the states of B copies; None: only Gymnasium can step it.

    Constants are read from the environment, including changed attributes.
    """
    inner: Any = env
    flips: dict[str, Any] = {}
    while isinstance(inner, gymnasium.Wrapper):
        if type(inner) is FlippedActions and not flips:  # double flips run in Python
            flips = {"flipped_after": inner.after, "instead": inner.instead}
        elif type(inner) not in _TRANSPARENT:
            return None
        inner = inner.env
    going_on = np.zeros(num_lifetimes, dtype=np.int64)
    if type(inner) is CartPoleEnv:
        read: dict[str, Any] = {name: float(getattr(inner, name)) for name in CartPole._fields[:9]}
        semi_implicit = inner.kinematics_integrator != "euler"
        pole = CartPole(**read, semi_implicit=semi_implicit, sutton_barto=bool(inner._sutton_barto_reward))
        return World(CART_POLE, np.zeros((num_lifetimes, 4)), going_on, cart_pole=pole, **flips)
    if type(inner) is MountainCarEnv:
        car = MountainCar(**{name: float(getattr(inner, name)) for name in MountainCar._fields})
        return World(MOUNTAIN_CAR, np.zeros((num_lifetimes, 2)), going_on, mountain_car=car, **flips)
    if type(inner) is CueAssociationEnv:
        spikes = np.zeros((num_lifetimes, inner.most_steps, NUM_INPUTS), dtype=np.float32)
        cues = Cues(spikes, np.zeros_like(going_on), np.zeros_like(going_on), CUE_STEPS)
        return World(CUES, np.zeros((num_lifetimes, NUM_INPUTS)), going_on, cues=cues, **flips)
    return None


def begin_episode(env: gymnasium.Env[Any, Any], row: int, world: World) -> None:
    """Set lifetime `row` of the tables to an environment's initial state."""
    if world.kind != CUES:
        world.state[row] = state_of(env)
        return
    inner: Any = env.unwrapped
    spikes, answer = inner.trial  # (steps, NUM_INPUTS)
    world.state[row] = spikes[0]
    world.cues.spikes[row, : len(spikes)] = spikes
    world.cues.steps[row], world.cues.answer[row] = len(spikes), answer


def end_episode(env: gymnasium.Env[Any, Any], row: int, world: World) -> None:
    """Set an environment to the final state of lifetime `row` of the tables."""
    if world.kind != CUES:
        put_state(env, world.state[row])
        return
    inner: Any = env.unwrapped
    inner.end()


def state_of(env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
    """Return a copy of the state of CartPole or MountainCar, (S,)."""
    inner: Any = env.unwrapped
    return np.array(inner.state, dtype=np.float64)


def put_state(env: gymnasium.Env[Any, Any], state: NDArray[np.float64]) -> None:
    """Set the state (S,) of CartPole or MountainCar."""
    inner: Any = env.unwrapped
    inner.state = state.copy()
