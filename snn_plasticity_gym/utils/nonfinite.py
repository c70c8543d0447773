"""Numbers that are not finite: where they came from, and what becomes of the run."""

from __future__ import annotations

import logging

from snn_plasticity_gym.config.learning import NAN_POLICIES
from snn_plasticity_gym.config.schema import unknown

_logger = logging.getLogger("snn_plasticity_gym")


class NotFiniteError(ValueError):
    """A quantity is NaN or infinite; the message names it, and where it became so."""


class Guard:
    """What is done about a number that is not finite.

    Args:
        policy: "raise" stops; "skip" warns, and leaves out what the number would spoil.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, policy: str) -> None:
        if policy not in NAN_POLICIES:
            raise ValueError(unknown("nan_policy", policy, NAN_POLICIES))
        self.policy = policy

    @property
    def skips(self) -> bool:
        """Whether the run goes on."""
        return self.policy == "skip"

    def meet(self, problem: str, consequence: str) -> None:
        """Stop, or say what is left out.

        Raises:
            NotFiniteError: The policy is "raise".
        """
        if not self.skips:
            raise NotFiniteError(problem)
        _logger.warning("%s; %s", problem, consequence)
