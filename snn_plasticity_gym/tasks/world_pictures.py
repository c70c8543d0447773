"""Rendered pictures of Gymnasium worlds, if available."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class NoPictureError(RuntimeError):
    """A world cannot be rendered; one line with the reason."""


class Screen:
    """Whether MuJoCo can render in this process. Without OpenGL a first attempt raises, and a second one aborts it."""

    failure = ""  # of the first attempt


SCREEN = Screen()


def draw(env: gymnasium.Env[Any, Any]) -> Pixels:
    """Return a picture of a world, uint8 (H, W, 3).

    Raises:
        NoPictureError: A package or a display is missing, or the result is no picture.
    """
    mujoco = is_mujoco(env)
    if mujoco and SCREEN.failure:
        raise NoPictureError(SCREEN.failure)
    try:
        picture = np.asarray(env.render())
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"render() gave {picture.dtype} of shape {picture.shape}, not a picture")
    except Exception as error:
        reason = one_line(error)
        if mujoco:
            reason += "; MuJoCo draws without a display if MUJOCO_GL is egl or osmesa and that library is there"
            SCREEN.failure = reason
        raise NoPictureError(reason) from error
    return picture


def is_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether an environment is one of Gymnasium's MuJoCo environments, or derived from them."""
    return any(kind.__module__.startswith("gymnasium.envs.mujoco.") for kind in type(env.unwrapped).__mro__)


def one_line(error: Exception) -> str:
    """Return an error's message, with its type unless it is Gymnasium's or this package's."""
    text = " ".join(str(error).split())
    plain = isinstance(error, gymnasium.error.Error) or type(error) is ValueError
    return text if plain and text else f"{type(error).__name__}: {text}"
