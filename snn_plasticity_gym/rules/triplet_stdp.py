"""Triplet STDP: potentiation that grows with past postsynaptic activity, hence with the frequency of pairs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import HandWrittenRule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.stdp import PAIRINGS, power_law_change
from snn_plasticity_gym.rules.traces import Traces, of_post, of_pre, post_at_pre_spike, pre_at_post_spike

TRIPLET_FITS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        name: dict(zip(("pairing", "a2_plus", "a3_plus", "a2_minus", "a3_minus", "tau_x", "tau_y"), row, strict=True))
        for name, row in {
            "visual-cortex-all": ("all", 5e-10, 6.2e-3, 7e-3, 2.3e-4, 101.0, 125.0),
            "visual-cortex-nearest": ("nearest", 8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, 714.0, 40.0),
            "hippocampus-all": ("all", 6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, 946.0, 27.0),
            "hippocampus-nearest": ("nearest", 4.6e-3, 9.1e-3, 3e-3, 7.5e-9, 575.0, 47.0),
        }.items()
    }
)
"""The four fits of the full model, Pfister & Gerstner (2006), tables 3 (visual cortex) and 4 (hippocampal culture);
tau_plus = 16.8 ms and tau_minus = 33.7 ms in all. Use: `make_rule("triplet-stdp", **TRIPLET_FITS["hippocampus-all"])`.
"""


@config_class
class TripletSTDP(HandWrittenRule):
    """Triplet rule of Pfister & Gerstner (2006), eqs. 3 and 4, in units u = |w| / w_max.

        post spike: u <- min(u + r1 * (a2_plus + a3_plus * o2), 1)
        pre spike:  u <- max(u - o1 * (a2_minus + a3_minus * r2), 0)

    r1 and r2 are traces of the pre neuron (tau_plus, tau_x), o1 and o2 of the post neuron (tau_minus, tau_y). They
    count all earlier spikes, or (`pairing="nearest"`) jump to 1 at each spike. Defaults: full model, visual cortex,
    all-to-all (table 3); `TRIPLET_FITS` has the others, and pairing and amplitudes belong together.

    All traces are those of strictly earlier spikes: for r2 and o2 that is the t - epsilon of eqs. 3 and 4, for r1 and
    o1 it means that the two spikes of one step are no pair (as in NEST's `stdp_triplet_synapse`). `coincident` and the
    order of potentiation and depression are those of `PairSTDP`. The fits are of changes relative to the first weight;
    taking them as shares of w_max with hard bounds is NEST's choice up to its unit.
    """

    a2_plus: float = setting(5e-10, "Potentiation by pairs, as a share of w_max.", section="STDP", ge=0)
    a3_plus: float = setting(6.2e-3, "Potentiation by post-pre-post triplets.", section="STDP", ge=0)
    a2_minus: float = setting(7e-3, "Depression by pairs.", section="STDP", ge=0)
    a3_minus: float = setting(2.3e-4, "Depression by pre-post-pre triplets.", section="STDP", ge=0)
    tau_plus: float = setting(16.8, "Time constant of the fast pre trace r1.", unit="ms", section="STDP", gt=0)
    tau_x: float = setting(101.0, "Time constant of the slow pre trace r2.", unit="ms", section="STDP", gt=0)
    tau_minus: float = setting(33.7, "Time constant of the fast post trace o1.", unit="ms", section="STDP", gt=0)
    tau_y: float = setting(125.0, "Time constant of the slow post trace o2.", unit="ms", section="STDP", gt=0)
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
        r1 = traces.exponential(self.tau_plus, now=self.coincident, nearest=nearest)  # (H,), as the next three
        r2 = traces.exponential(self.tau_x, nearest=nearest)
        o1 = traces.exponential(self.tau_minus, nearest=nearest)
        o2 = traces.exponential(self.tau_y, nearest=nearest)
        rise = pre_at_post_spike(events, r1) * of_post(events, self.a2_plus + self.a3_plus * o2)
        fall = post_at_pre_spike(events, o1) * of_pre(events, self.a2_minus + self.a3_minus * r2)
        strength, negative = self.strength(events)
        change = power_law_change(strength / self.w_max, rise, fall, mu_plus=0.0, mu_minus=0.0)
        return self.answer(self.w_max * change, strength, negative)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return self.form(
            w_max=self.w_max,
            tau_pre_fast=self.tau_plus,
            tau_pre_slow=self.tau_x,
            tau_post_fast=self.tau_minus,
            tau_post_slow=self.tau_y,
            nearest=self.pairing == "nearest",
            coincident=self.coincident,
            p=self.a2_plus,
            p_slow=self.a3_plus,
            s=self.a2_minus,
            s_slow=self.a3_minus,
            bounded=True,
        )
