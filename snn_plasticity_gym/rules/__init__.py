"""Plasticity rules: anything that answers synapse events with normalised weight changes."""

from typing import Protocol

from torch import Tensor

from snn_plasticity_gym.events import SynapseEvents


class Rule(Protocol):
    """One call signature for policies, hand-written rules and constants."""

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""
