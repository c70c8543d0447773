"""Closed form of hand-written rules: coefficients of one formula that covers all of them.

If all weight changes follow one formula of four traces and the weight, no list of events is needed: a compiled loop
runs along the rows and columns of the weights (`kernels/images.py`). The formula, for u = |w| / w_max and a
synapse from pre neuron i to post neuron j:

    post spike: u <- u + shape(d, u),   d = x_i P_j - q - r y_j |w|
                                        P_j = p + p_fast y_j + p_slow Y_j - p_theta theta_j
    pre spike:  u <- u - u^mu_minus S_i y_j,   S_i = s + s_slow X_i
                or, for a rule with a third factor f_j that ignores signs of synapses,  w <- w + g f_j, with
                the trace x_i (that counts the spike of now) and the post neuron's surrogate psi_j as further factors
                where `factor_trace` and `factor_surrogate`; at post spikes, too, where `factor_at_post`

x, X are the fast and slow trace of the pre neuron, y, Y those of the post neuron, all of strictly earlier spikes, but x
counts the spike of now where `coincident`; theta is the running mean of y^2. Where both neurons fire, the post spike
comes first. With `bounded`, shape(d, u) = min(d (1 - u)^mu_plus, 1 - u), or d u^mu_minus for d < 0 where `soft`;
without it shape(d, u) = d. Changes are clipped as everywhere (`HandWrittenRule.answer`, `plasticity.weight_updates`).
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

from snn_plasticity_gym.kernels.tables import ClosedForm


class HasClosedForm(Protocol):
    """A rule that is a case of the formula."""

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""


def has_closed_form(rule: object) -> TypeGuard[HasClosedForm]:
    """Whether a rule is a case of the formula; called for every image, where `isinstance` is too slow."""
    return hasattr(rule, "closed_form")


__all__ = ["ClosedForm", "HasClosedForm", "has_closed_form"]
