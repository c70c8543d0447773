"""Oja's rule: Hebbian plasticity with a decay that normalises a neuron's weights to norm one."""

from __future__ import annotations

from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.base import HandWrittenRule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.traces import Traces, of_post, of_pre


@config_class
class Oja(HandWrittenRule):
    """Oja (1982), dw = eta y (x - y w), with spikes; no change at a pre spike.

        post spike: |w| <- |w| + eta * (x - decay * y * |w|)

    x is the trace of the pre neuron, y that of the post neuron, both with the same time constant, so that they are
    spike counts within tau: x = rate * tau on average. The factor y in front of Oja's bracket is the post spike itself,
    which comes at the post neuron's rate; y within the bracket counts strictly earlier spikes, which for Poisson
    spikes are independent of the present one. So the mean change is that of the rate form, and with constant
    rates and y = w . x the weights go to |w|^2 = 1 / decay along the principal component of the inputs (of their
    correlations, not covariances: the mean is not taken off). `decay` is Nengo's beta.

    x counts the pre spike of now (`coincident=True`): within a step pre comes before post in a feed-forward projection,
    and that spike is the Hebbian one. It makes x larger than earlier spikes alone would by a factor exp(dt / tau), and
    with it the norm: 5 % at 1 ms and 20 ms.

    Oja's weights have either sign; here the rule acts on |w| (see `HandWrittenRule`), so that inhibition that is
    correlated with its target grows instead of vanishing. |w| is in the environment's units, without a w_max.
    """

    learning_rate: float = setting(0.01, "Learning rate eta.", section="Oja", ge=0)
    decay: float = setting(1.0, "Weight of the decay term; the squared norm goes to 1 / decay.", section="Oja", ge=0)
    tau: float = setting(20.0, "Time constant of both traces.", unit="ms", section="Oja", gt=0)
    coincident: bool = setting(True, "Whether a pre spike of the same step counts.", section="Oja")

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""
        traces = Traces(events, self.dt)
        pre = of_pre(events, traces.exponential(self.tau, now=self.coincident))  # (E,)
        post = of_post(events, self.decay * traces.exponential(self.tau))  # (E,)
        strength, negative = self.strength(events)
        fired = events.kind != KIND_PRE
        return self.answer(self.learning_rate * oja_change(pre, fired, post, strength), strength, negative)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return self.form(
            tau_pre_fast=self.tau,
            tau_post_fast=self.tau,
            coincident=self.coincident,
            p=self.learning_rate,
            r=self.learning_rate * self.decay,
        )


def oja_change(pre: Tensor, fired: Tensor, post: Tensor, weight: Tensor) -> Tensor:
    """Return fired * (pre - post * weight); in the rate form of Oja (1982) `fired` is the post rate as well."""
    return fired * (pre - post * weight)
