"""Handling of non-finite numbers: errors or warnings with their origin."""

from __future__ import annotations

import logging

from snn_plasticity_gym.config.learning import NAN_POLICIES
from snn_plasticity_gym.config.schema import unknown

_logger = logging.getLogger("snn_plasticity_gym")


class NotFiniteError(ValueError):
    """A quantity is NaN or infinite; the message names it, and where it became so."""


class Guard:
    """Policy for non-finite numbers.

    Args:
        policy: "raise" stops; "skip" warns, and leaves out affected data.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, policy: str) -> None:
        if policy not in NAN_POLICIES:
            raise ValueError(unknown("nan_policy", policy, NAN_POLICIES))
        self.policy = policy

    @property
    def skips(self) -> bool:
        """Whether the run continues."""
        return self.policy == "skip"

    def handle(self, problem: str, consequence: str) -> None:
        """Raise an error, or warn of the consequence.

        Raises:
            NotFiniteError: The policy is "raise".
        """
        if not self.skips:
            raise NotFiniteError(problem)
        _logger.warning("%s; %s", problem, consequence)
