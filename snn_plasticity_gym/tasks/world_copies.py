"""Copies of one Gymnasium environment, optionally with changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.changes import FlippedActions, change_attributes
from snn_plasticity_gym.tasks.world_pictures import one_line
from snn_plasticity_gym.tasks.world_warnings import handle_warnings

_logger = logging.getLogger("snn_plasticity_gym")


class WorldCopies:
    """Makes environments of one id; arguments as of `Worlds`.

    Raises:
        ConfigError: The arguments are invalid.
    """

    def __init__(
        self,
        id: str,
        world_kwargs: Mapping[str, Any] | None,
        attributes: Mapping[str, float] | None,
        flipped_after: int | None,
        render: bool,
    ) -> None:
        self.id = id
        self.render = render  # whether copies made from now on can render
        self._kwargs = dict(world_kwargs or {})
        self._attributes = dict(attributes or {})
        self._flipped_after = flipped_after
        self._warned = False
        if "render_mode" in self._kwargs:
            raise ConfigError("world_kwargs cannot hold render_mode; ask for pictures with render=True")
        handle_warnings(id)

    def make(self) -> gymnasium.Env[Any, Any]:
        """Make another copy.

        Raises:
            ConfigError: There is no such world, it cannot be made, or lacks an attribute to change.
        """
        # Gymnasium's checker would warn once for each copy of faults that are refused here.
        kwargs = {"disable_env_checker": True} | self._kwargs
        if self.render:
            try:
                return self._changed(gymnasium.make(self.id, render_mode="rgb_array", **kwargs))
            except ConfigError:
                raise
            except Exception as error:  # perhaps it cannot render; if not, the next attempt fails as well
                refusal = one_line(error)
        try:
            env = gymnasium.make(self.id, **kwargs)
        except Exception as error:
            raise ConfigError(f"world {self.id!r} cannot be made: {one_line(error)}") from error
        if self.render:
            self.warn_of_no_picture(refusal)
        return self._changed(env)

    def warn_of_no_picture(self, reason: str) -> None:
        """Log, the first time, why the world cannot be rendered."""
        if not self._warned:
            _logger.warning("world %r cannot be drawn: %s", self.id, reason)
        self._warned = True

    def _changed(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """Return the environment with its changes."""
        change_attributes(env, self.id, self._attributes)
        return env if self._flipped_after is None else FlippedActions(env, self._flipped_after)
