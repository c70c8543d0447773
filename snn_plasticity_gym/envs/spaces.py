"""Gymnasium's spaces of one lifetime: observations and actions of its slots."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.plasticity.events import NUM_KINDS
from snn_plasticity_gym.plasticity.local_scalars import LAYER

EMPTY = -1  # `group` and `kind` of a slot without an event

_BOUNDS = {"surrogate": (0.0, 1.0), "theta": (0.0, math.inf)}  # of scalars that mean the same in every task


def observation_space(config: EnvironmentConfig, engine: Engine) -> spaces.Dict:
    """Return the space of one lifetime's observations; see `PlasticityEnv` for their meaning.

    `group` and `kind` are a Box of int64, not a MultiDiscrete: Stable-Baselines3 makes each entry of one a one-hot
    vector, slot by slot, and sb3-contrib's recurrent policies reject the resulting size.
    """
    slots, length = config.events_per_step, config.history_length
    low, high = engine.weight_range()
    extras = {name: spaces.Box(*scalar_bounds(engine, name), (slots,), np.float32) for name in engine.scalars.names}
    return spaces.Dict(
        {
            "history": spaces.Box(0, 1, (slots, 2, length), np.uint8),
            "weight": spaces.Box(low, high, (slots,), np.float32),
            "group": spaces.Box(EMPTY, len(engine.heads) - 1, (slots,), np.int64),
            "kind": spaces.Box(EMPTY, NUM_KINDS - 1, (slots,), np.int64),
            "mask": spaces.Box(0, 1, (slots,), np.uint8),
            **extras,
        }
    )


def scalar_bounds(engine: Engine, name: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a local scalar; infinite where none is known.

    Slots without an event show 0, which is therefore within.
    """
    task = engine.task
    if name == LAYER:
        low, high = min(task.layer_scalars), max(task.layer_scalars)
    else:
        low, high = task.scalar_bounds.get(name) or _BOUNDS.get(name, (-math.inf, math.inf))
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if low < high else (0.0, 1.0)  # a Box of one point has warnings in Gymnasium's checker


def action_space(config: EnvironmentConfig) -> spaces.Box:
    """Return the space of one lifetime's actions: one normalised weight change per slot."""
    return spaces.Box(-1.0, 1.0, (config.events_per_step,), np.float32)
