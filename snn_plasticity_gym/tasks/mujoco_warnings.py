"""MuJoCo's warnings, which would otherwise go to stderr and into a file of the working folder."""

from __future__ import annotations

import contextlib
import functools
import logging

import gymnasium

_logger = logging.getLogger("snn_plasticity_gym")


def mind_warnings(world: str) -> None:
    """Send MuJoCo's warnings to the package's log if a world is about to be made of it.

    Args:
        world: Id as `gymnasium.make` takes it; of a world that is not registered yet nothing is known.
    """
    with contextlib.suppress(gymnasium.error.Error, ImportError):  # said again, and in full, when it is made
        if "mujoco" in str(gymnasium.spec(world).entry_point):
            send_warnings_to_log()


@functools.cache
def send_warnings_to_log() -> None:
    """Send MuJoCo's warnings to the package's log, each text once, from now on and for the whole process.

    Otherwise they go to stderr, and into a file of the working folder.

    Raises:
        ImportError: There is no MuJoCo.
    """
    import mujoco

    mujoco.set_mju_user_warning(_warn)


def _warn(message: str | bytes) -> None:
    text = message.decode(errors="replace") if isinstance(message, bytes) else message
    _say(" ".join(text.split()))


@functools.cache
def _say(text: str) -> None:
    """Each copy of a world warns of the same."""
    _logger.warning("MuJoCo: %s", text)
