"""Pair-based STDP with a power-law weight dependence: additive, multiplicative and intermediate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import HandWrittenRule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.traces import Traces, post_at_pre_spike, pre_at_post_spike

PAIRINGS = ("all", "nearest")


@config_class
class PairSTDP(HandWrittenRule):
    """STDP of Guetig et al. (2003) as in NEST's `stdp_synapse`, in units u = |w| / w_max.

        post spike: u <- min(u + lambda * (1 - u)^mu_plus * K_plus, 1)
        pre spike:  u <- max(u - alpha * lambda * u^mu_minus * K_minus, 0)

    K_plus is the trace of the pre neuron, K_minus that of the post neuron, lambda is `learning_rate`; the names and
    defaults of the rest are NEST's. mu_plus = mu_minus = 0 is additive STDP (Song, Miller & Abbott 2000), 1 is
    multiplicative (Rubin, Lee & Sompolinsky 2001), mu_plus = 0 with mu_minus = 1 that of van Rossum et al. (2000).

    Coincidence: traces are those of strictly earlier spikes, so the two spikes of one step are no pair, and where
    both neurons fire, potentiation by earlier pre spikes comes first, then depression of the resulting
    weight (NEST 3: `get_history` and `get_K_value` leave out spikes at the very time; `send` facilitates, then
    depresses). Here, however, a feed-forward projection carries its spikes within the step, so that a pre
    spike can be the cause of a post spike of the same step: `coincident=True` makes them a pair with delay 0,
    pre before post.
    """

    learning_rate: float = setting(0.01, "Step size lambda, as a share of w_max.", section="STDP", ge=0)
    alpha: float = setting(1.0, "Strength of depression relative to potentiation.", section="STDP", ge=0)
    mu_plus: float = setting(0.0, "Weight exponent of potentiation.", section="STDP", ge=0)
    mu_minus: float = setting(0.0, "Weight exponent of depression.", section="STDP", ge=0)
    tau_plus: float = setting(20.0, "Time constant of the pre trace.", unit="ms", section="STDP", gt=0)
    tau_minus: float = setting(20.0, "Time constant of the post trace.", unit="ms", section="STDP", gt=0)
    w_max: float = setting(1.0, "Largest |w|, the upper bound of potentiation.", section="STDP", gt=0)
    pairing: str = setting(
        "all", "Spikes that a trace counts: all earlier ones, or the nearest.", section="STDP", choices=PAIRINGS
    )
    coincident: bool = setting(
        False, "Whether a pre spike counts as earlier than a post spike of the same step.", section="STDP"
    )

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""
        nearest = self.pairing == "nearest"
        traces = Traces(events, self.dt)
        k_plus = pre_at_post_spike(events, traces.exponential(self.tau_plus, now=self.coincident, nearest=nearest))
        k_minus = post_at_pre_spike(events, traces.exponential(self.tau_minus, nearest=nearest))
        strength, negative = self.strength(events)
        rate = self.learning_rate
        change = power_law_change(
            strength / self.w_max, rate * k_plus, self.alpha * rate * k_minus, self.mu_plus, self.mu_minus
        )
        return self.answer(self.w_max * change, strength, negative)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return self.form(
            w_max=self.w_max,
            tau_pre_fast=self.tau_plus,
            tau_post_fast=self.tau_minus,
            nearest=self.pairing == "nearest",
            coincident=self.coincident,
            p=self.learning_rate,
            s=self.alpha * self.learning_rate,
            mu_plus=self.mu_plus,
            mu_minus=self.mu_minus,
            bounded=True,
        )


@config_class
class MultiplicativeSTDP(PairSTDP):
    """`PairSTDP` with both exponents 1, the default of NEST's `stdp_synapse` (Rubin, Lee & Sompolinsky 2001)."""

    mu_plus: float = 1.0
    mu_minus: float = 1.0


@config_class
class RewardSTDP(PairSTDP):
    """Reward-modulated STDP: `PairSTDP` with changes in an eligibility trace until the reward of the image.

    Izhikevich (2007); Fremaux & Gerstner, Neuromodulated spike-timing-dependent plasticity (2016), section 2. The
    rule's outputs are those of `PairSTDP`; eligibility and modulation come from the environment's setting
    `modulation="reward"`, without which it is `PairSTDP`. Programs that take rules by name set it.
    """

    modulation: ClassVar[str] = "reward"


def power_law_change(u: Tensor, rise: Tensor, fall: Tensor, mu_plus: float, mu_minus: float) -> Tensor:
    """Return the change of u in [0, 1] by potentiation, then depression.

        rise: u <- min(u + (1 - u)^mu_plus * rise, 1)
        fall: u <- max(u - u^mu_minus * fall, 0)

    Changes are summed directly, as the difference of two weights would lose small changes by rounding.

    Args:
        u: Weight as a share of the largest one, (E,).
        rise: Potentiation at weight 0, not negative, (E,).
        fall: Depression at weight 1, not negative, (E,).
        mu_plus: Exponent of potentiation.
        mu_minus: Exponent of depression.
    """
    room = (1.0 - u).clamp(min=0.0)  # (E,)
    up = torch.minimum(power(room, mu_plus) * rise, room)
    raised = u + up
    down = torch.minimum(power(raised, mu_minus) * fall, raised)
    return up - down


def power(base: Tensor, exponent: float) -> Tensor | float:
    """Return base^exponent, cheaply for exponents 0 and 1; 0^0 is 1, as in C."""
    if exponent == 0:
        return 1.0
    return base if exponent == 1 else base**exponent
