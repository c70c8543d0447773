"""The delta rule: postsynaptic error times presynaptic spike."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import KIND_POST, SynapseEvents
from snn_plasticity_gym.rules.closed_form import ClosedForm


@config_class
class DeltaRule:
    """dw_ij = gain * f_j at every presynaptic spike, where f_j is the event's third factor.

    In an output layer, with the error [k = y] - p_k as factor, this is the delta rule (Widrow & Hoff 1960). With an
    error fed back to hidden neurons by fixed random weights it is direct feedback alignment (Nokland 2016, eq. 7) with
    the derivative of the hidden neurons taken as 1. In `SNNPlastic-Semi-v0` it is the hand-written baseline of learned
    rules. It returns delta_d = gain * f_j, so eta is its learning rate.
    """

    needs: ClassVar[tuple[str, ...]] = ("factor",)  # local scalars

    gain: float = setting(1.0, "Weight change per unit of the factor, in units of eta.", section="Delta", gt=0)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,).

        Raises:
            ConfigError: The events have no factor.
        """
        silent = events.kind == KIND_POST  # the presynaptic neuron
        return (self.gain * events.scalar("factor")).masked_fill(silent, 0.0)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return ClosedForm(g=self.gain, signed=True)
