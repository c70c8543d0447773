"""Worlds whose best actions are known: a bandit of one step, and a corridor."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

BANDIT = "toys/BanditOfOneStep-v0"
CORRIDOR = "toys/Corridor-v0"


class BanditOfOneStep(gymnasium.Env[np.ndarray, int]):
    """The observation is always 1; action 1 is paid `sign`, action 0 is paid -`sign`; one step and it is over.

    Best return 1 (sign = 1: always action 1); even choice has return 0.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, sign: int = 1, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self._sign = sign

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.ones(1, np.float32), float(self._sign if action == 1 else -self._sign), True, False, {}


class Corridor(gymnasium.Env[np.ndarray, int]):
    """A walk from cell 0 to the last one: action 1 steps to the right, action 0 to the left, where walls hold it.

    Every step is paid -0.01, the step onto the last cell +1; both are multiplied by `sign`. Reaching it terminates,
    `cap` steps without it truncate. Best return 1 - 0.01 (cells - 1), by always going right (sign = 1).

    Args:
        cells: Number of cells, at least 2.
        one_hot: The observation is one-hot over the cells; else one number, 0 at the left end and 1 at the right.
        cap: Steps until truncation; None: 4 * cells.
        sign: 1, or -1 to turn the reward round.
        random_start: Begin in any cell but the last instead of in cell 0.
        render_mode: "rgb_array" for pictures.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        cells: int = 5,
        one_hot: bool = True,
        cap: int | None = None,
        sign: int = 1,
        random_start: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (cells if one_hot else 1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self._cells, self._one_hot, self._sign, self._random_start = cells, one_hot, sign, random_start
        self._cap = 4 * cells if cap is None else cap
        self._cell = self._steps = 0

    def _observation(self) -> np.ndarray:
        if self._one_hot:
            return np.eye(self._cells, dtype=np.float32)[self._cell]
        return np.array([self._cell / (self._cells - 1)], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._cell = int(self.np_random.integers(self._cells - 1)) if self._random_start else 0
        self._steps = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._cell = min(max(self._cell + (1 if action == 1 else -1), 0), self._cells - 1)
        self._steps += 1
        there = self._cell == self._cells - 1
        reward = self._sign * ((1.0 if there else 0.0) - 0.01)
        return self._observation(), reward, there, not there and self._steps >= self._cap, {}

    def render(self) -> np.ndarray:
        picture = np.zeros((4, 4 * self._cells, 3), np.uint8)
        picture[:, 4 * self._cell : 4 * self._cell + 4] = 255
        return picture


def register_toys() -> None:
    """Make both known to `gymnasium.make`; calling it twice does no harm."""
    for id, entry in ((BANDIT, BanditOfOneStep), (CORRIDOR, Corridor)):
        if id not in gymnasium.registry:
            gymnasium.register(id, entry_point=f"toys_worlds:{entry.__name__}")


register_toys()
