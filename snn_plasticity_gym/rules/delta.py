"""The delta rule: the error of the postsynaptic neuron times what the presynaptic one does now."""

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
    error that fixed random weights send to hidden neurons it is direct feedback alignment (Nokland 2016, eq. 7) that
    takes the derivative of the hidden neurons for 1. In `SNNPlastic-Semi-v0` it is the hand-written rule that a
    learned one has to be compared with. It answers with delta_d = gain * f_j, so eta is its learning rate.
    """

    needs: ClassVar[tuple[str, ...]] = ("factor",)  # local scalars

    gain: float = setting(1.0, "Weight change per unit of the factor, in units of eta.", section="Delta", gt=0)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,).

        Raises:
            ConfigError: The environment gives its events no factor.
        """
        silent = events.kind == KIND_POST  # the presynaptic neuron
        return (self.gain * events.scalar("factor")).masked_fill(silent, 0.0)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return ClosedForm(g=self.gain, signed=True)
