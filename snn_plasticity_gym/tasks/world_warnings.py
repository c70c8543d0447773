"""Warnings of physics engines: MuJoCo's go to the package's log, those of Box2D's import are suppressed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import warnings

import gymnasium

_logger = logging.getLogger("snn_plasticity_gym")


def handle_warnings(world: str) -> None:
    """Redirect or suppress warnings of the physics engine of a world that is about to be made.

    Args:
        world: Id as `gymnasium.make` takes it; ignored if it is not registered yet.
    """
    with contextlib.suppress(gymnasium.error.Error, ImportError):  # raised again when it is made
        made_of = str(gymnasium.spec(world).entry_point)
        if "mujoco" in made_of:
            send_warnings_to_log()
        elif "box2d" in made_of:
            with warnings.catch_warnings():  # SWIG's, on its types; one turned into an error ends the process
                warnings.simplefilter("ignore", DeprecationWarning)
                importlib.import_module("Box2D")


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
    _log_once(" ".join(text.split()))


@functools.cache
def _log_once(text: str) -> None:
    """Log a warning once; each copy of a world repeats it."""
    _logger.warning("MuJoCo: %s", text)
