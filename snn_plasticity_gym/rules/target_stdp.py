"""STDP towards a target trace: a post spike potentiates recently active inputs and depresses the others."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.base import HandWrittenRule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.stdp import PAIRINGS, power
from snn_plasticity_gym.rules.traces import Traces, of_pre

BOUNDS = ("upper", "soft")


@config_class
class TargetSTDP(HandWrittenRule):
    """Rule of Diehl & Cook (2015), section 2.3, in units u = |w| / w_max; no change at a pre spike.

        post spike: u <- u + eta * (x_pre - x_tar) * (1 - u)^mu                    bounds = "upper", the paper's
                    u <- u + eta * (x_pre - x_tar) * u^mu  where x_pre < x_tar     bounds = "soft"

    eta is `learning_rate`. For w_max = 1, the authors' value, "upper" is their equation
    dw = eta (x_pre - x_tar) (w_max - w)^mu; at u = 1 it neither potentiates nor depresses, and only a clip
    keeps u from falling below 0. "soft" depresses in proportion to u^mu instead, as Guetig et al. (2003) do. Either way
    u stays in [0, 1].

    The trace counts the present pre spike: it is raised when the spike arrives, and a feed-forward projection carries
    spikes within the step, so that it has arrived when the post neuron fires. `coincident=False` leaves it out.
    tau, x_tar, mu and eta are tc_pre_ee, STDP_offset, exp_ee_post and nu_ee_post of the authors' code; the paper
    raises the trace by 1 at each spike (`pairing="all"`), the code's other rule sets it to 1 ("nearest").
    """

    learning_rate: float = setting(0.01, "Learning rate eta, as a share of w_max.", section="STDP", ge=0)
    x_tar: float = setting(0.4, "Target of the pre trace at a post spike.", section="STDP", ge=0)
    mu: float = setting(0.2, "Weight exponent.", section="STDP", ge=0)
    tau: float = setting(20.0, "Time constant of the pre trace.", unit="ms", section="STDP", gt=0)
    w_max: float = setting(1.0, "Largest |w|.", section="STDP", gt=0)
    bounds: str = setting(
        "upper",
        "Weight dependence: upper ((1 - u)^mu in both directions, as published) or soft (u^mu for depression).",
        section="STDP",
        choices=BOUNDS,
    )
    pairing: str = setting(
        "all", "Spikes that the trace counts: all, or the nearest.", section="STDP", choices=PAIRINGS
    )
    coincident: bool = setting(True, "Whether a pre spike of the same step counts.", section="STDP")

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""
        x_pre = Traces(events, self.dt).exponential(self.tau, now=self.coincident, nearest=self.pairing == "nearest")
        strength, negative = self.strength(events)
        u = strength / self.w_max
        drive = of_pre(events, self.learning_rate * (x_pre - self.x_tar)) * (events.kind != KIND_PRE)  # (E,)
        room = (1.0 - u).clamp(min=0.0)
        change = drive * power(room, self.mu)
        if self.bounds == "soft":
            change = torch.where(drive < 0, drive * power(u, self.mu), change)
        return self.answer(self.w_max * torch.minimum(change, room), strength, negative)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return self.form(
            w_max=self.w_max,
            tau_pre_fast=self.tau,
            nearest=self.pairing == "nearest",
            coincident=self.coincident,
            p=self.learning_rate,
            q=self.learning_rate * self.x_tar,
            mu_plus=self.mu,
            mu_minus=self.mu,
            bounded=True,
            soft=self.bounds == "soft",
        )
