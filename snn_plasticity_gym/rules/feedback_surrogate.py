"""Direct feedback alignment with the derivative of the spike: trace of pre, pseudo-derivative and factor of post."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.traces import Traces, of_pre


@config_class
class FeedbackSurrogate:
    """delta_d_ij = gain * x_i * psi_j * f_j, with the trace x_i, the surrogate psi_j and the third factor f_j.

    With an error fed back to hidden neurons by fixed random weights as factor, this is direct feedback alignment
    (Nokland 2016, eq. 7) with the derivative of the hidden neurons that `DeltaRule` leaves out. In a spiking network
    the derivative is a pseudo-derivative of the spike and the input is low-pass filtered as by the membrane: the factor
    of e-prop for LIF neurons, without its filter of the output (Bellec et al., A solution to the learning
    dilemma for recurrent networks of spiking neurons, 2020, eq. 1 and 4, eligibility trace psi_j x_i). x_i counts the
    present spike; the default time constant halves it in a step of 1 ms, as the membranes of `SNNPlastic-Semi-v0` are.

    The theory changes weights in every step. Here they change at events: at pre and at post spikes, or, with
    `event_kinds="pre"`, at pre spikes alone, which are fewer and learn as well.
    """

    needs: ClassVar[tuple[str, ...]] = ("factor", "surrogate")  # local scalars

    dt: float = setting(1.0, "Length of a time step; that of the environment.", unit="ms", section="Scale", gt=0)
    gain: float = setting(1.0, "Weight change per unit of the product, in units of eta.", section="Feedback", gt=0)
    tau_pre: float = setting(
        1.4427, "Time constant of the pre trace; 1.4427 halves it in 1 ms.", unit="ms", section="Feedback", gt=0
    )

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,).

        Raises:
            ConfigError: The events have no factor, or no surrogate.
        """
        modulator = events.scalar("surrogate") * events.scalar("factor")  # (E,)
        trace = Traces(events, self.dt).exponential(self.tau_pre, now=True)  # (H,)
        return self.gain * of_pre(events, trace) * modulator

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return ClosedForm(
            dt=self.dt,
            tau_pre_fast=self.tau_pre,
            g=self.gain,
            signed=True,
            factor_trace=True,
            factor_surrogate=True,
            factor_at_post=True,
        )
