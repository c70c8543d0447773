"""Worlds, step by step: CartPole, MountainCar and cue association as compiled functions, all others by Python.

The operations of `gymnasium.envs.classic_control` in their order, in double precision: positions and velocities are
Gymnasium's, up to rounding of the last bit of a sine. Trials of cue association are drawn by their environment.

Axes: B lifetimes, S numbers of a world's state, T steps of the longest trial, n actions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.foreign import NOWHERE, call
from snn_plasticity_gym.kernels.tables import Float32, Float64, Int64

CART_POLE, MOUNTAIN_CAR, CUES, FOREIGN = range(4)
GOES_ON, TERMINATED, TRUNCATED = range(3)  # of an episode
AS_MEANT = np.zeros(0, dtype=np.int64)


class CartPole(NamedTuple):
    """Constants of `CartPoleEnv`, with the same names."""

    gravity: float = 0.0
    masspole: float = 0.0
    total_mass: float = 0.0
    length: float = 0.0
    polemass_length: float = 0.0
    force_mag: float = 0.0
    tau: float = 0.0
    theta_threshold_radians: float = 0.0
    x_threshold: float = 0.0
    semi_implicit: bool = False
    sutton_barto: bool = False


class MountainCar(NamedTuple):
    """Constants of `MountainCarEnv`, with the same names."""

    min_position: float = 0.0
    max_position: float = 0.0
    max_speed: float = 0.0
    goal_position: float = 0.0
    goal_velocity: float = 0.0
    force: float = 0.0
    gravity: float = 0.0


class Cues(NamedTuple):
    """Trials of `CueAssociationEnv`, one per copy: cues do not depend on actions."""

    spikes: Float32 = np.zeros((0, 0, 0), dtype=np.float32)  # (B, T, S) 0 or 1
    steps: Int64 = AS_MEANT  # (B,) of the trial
    answer: Int64 = AS_MEANT  # (B,) correct action
    decision: int = 1  # last steps, each with a reward


class World(NamedTuple):
    """B copies of a world."""

    kind: int  # CART_POLE, MOUNTAIN_CAR, CUES or FOREIGN
    state: Float64  # (B, S); of FOREIGN (B, 0), since Python's copies have it
    ended: Int64  # (B,) GOES_ON, TERMINATED or TRUNCATED
    cart_pole: CartPole = CartPole()
    mountain_car: MountainCar = MountainCar()
    cues: Cues = Cues()
    flipped_after: int = 0  # actions of an episode before actions are replaced by `instead`, if there is one
    instead: Int64 = AS_MEANT  # (n,); (0,): no replacement; FOREIGN worlds replace actions themselves
    step: int = NOWHERE  # of FOREIGN: `Foreign` that steps copy b and sets `ended`


def foreign_world(num_lifetimes: int) -> World:
    """Return B copies of a world run by Python; `step` is set before the first step."""
    return World(FOREIGN, np.zeros((num_lifetimes, 0)), np.zeros(num_lifetimes, dtype=np.int64))


@inlined()
def move(b, done, action, world):
    """Step copy `b` of a world, step `done`; return the reward, and set whether its episode has ended."""
    if world.kind == FOREIGN:
        return np.float32(call(world.step, b))
    if len(world.instead) > 0 and done >= world.flipped_after:
        action = world.instead[action]
    if world.kind == CART_POLE:
        reward, over = _balance(world.state[b], action, world.cart_pole)
    elif world.kind == MOUNTAIN_CAR:
        reward, over = _drive(world.state[b], action, world.mountain_car)
    else:
        reward, over = _step_cues(b, done, action, world.state[b], world.cues)
    world.ended[b] = TERMINATED if over else GOES_ON
    return reward


@inlined()
def _balance(state, action, body):
    x, x_dot, theta, theta_dot = state[0], state[1], state[2], state[3]
    force = body.force_mag if action == 1 else -body.force_mag
    cosine, sine = np.cos(theta), np.sin(theta)
    temp = (force + body.polemass_length * (theta_dot * theta_dot) * sine) / body.total_mass
    theta_acc = (body.gravity * sine - cosine * temp) / (
        body.length * (4.0 / 3.0 - body.masspole * (cosine * cosine) / body.total_mass)
    )
    x_acc = temp - body.polemass_length * theta_acc * cosine / body.total_mass
    if body.semi_implicit:
        x_dot = x_dot + body.tau * x_acc
        x = x + body.tau * x_dot
        theta_dot = theta_dot + body.tau * theta_acc
        theta = theta + body.tau * theta_dot
    else:
        x = x + body.tau * x_dot
        x_dot = x_dot + body.tau * x_acc
        theta = theta + body.tau * theta_dot
        theta_dot = theta_dot + body.tau * theta_acc
    state[0], state[1], state[2], state[3] = x, x_dot, theta, theta_dot
    fallen = abs(x) > body.x_threshold or abs(theta) > body.theta_threshold_radians
    if body.sutton_barto:
        return np.float32(-1.0) if fallen else np.float32(0.0), fallen
    return np.float32(1.0), fallen


@inlined()
def _drive(state, action, body):
    position, velocity = state[0], state[1]
    velocity += (action - 1) * body.force + np.cos(3.0 * position) * (-body.gravity)
    velocity = min(max(velocity, -body.max_speed), body.max_speed)
    position += velocity
    position = min(max(position, body.min_position), body.max_position)
    if position == body.min_position and velocity < 0.0:
        velocity = 0.0
    state[0], state[1] = position, velocity
    return np.float32(-1.0), position >= body.goal_position and velocity >= body.goal_velocity


@inlined()
def _step_cues(b, done, action, state, cues):
    steps, reward = cues.steps[b], np.float32(0.0)
    if done >= steps - cues.decision:
        reward = np.float32((1.0 if action == cues.answer[b] else -1.0) / cues.decision)
    now = min(done + 1, steps - 1)
    for s in range(len(state)):
        state[s] = cues.spikes[b, now, s]
    return reward, done + 1 >= steps
