"""Interface of rules, and the parameters shared by all hand-written ones.

The environment applies w <- clip(w + eta * alpha * clip(delta_d, -1, 1), w_min, w_max). Theories give a weight change
dw instead, so a hand-written rule returns delta_d = dw / scale. With scale = eta * alpha the environment applies dw
exactly, but never more than `scale` per event.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.closed_form import ClosedForm

INHIBITORY = ("magnitude", "fixed")
SMALLEST = 1e-6  # of `scale`: beyond what rounding w + scale * delta_d in single precision can take across 0


class Rule(Protocol):
    """One call signature for policies, hand-written rules and constants.

    A rule that needs a certain `modulation` of the environment has an attribute of that name (see `modulation_of`);
    needed local scalars are listed in `needs`.
    """

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""


def modulation_of(rule: Rule) -> str | None:
    """Return the setting `modulation` of the environment that a rule needs; None: any."""
    return getattr(rule, "modulation", None)


def needed_scalars(rule: Any) -> tuple[str, ...]:
    """Return the local scalars that a rule, or a class of rules, needs in its events, from `needs`."""
    return tuple(getattr(rule, "needs", ()))


def checked_answer(answer: Any, num_events: int, device: torch.device | str) -> Tensor:
    """Validate a rule's output, and convert it to float32 (E,) on the engine's device, without gradient.

    Args:
        answer: A tensor, or an array of NumPy, of any kind of real number.
        num_events: E.
        device: Of the engine.

    Raises:
        ConfigError: It is something else, or not one number per event.
    """
    expected = f"a rule must return one number per event, a tensor or an array of shape ({num_events},)"
    if isinstance(answer, np.ndarray):
        if answer.dtype.kind not in "biuf":
            raise ConfigError(f"{expected}, got an array of {answer.dtype}")
        answer = torch.from_numpy(answer.astype(np.float32))  # a copy: the rule may reuse its array
    if not isinstance(answer, Tensor):
        raise ConfigError(f"{expected}, got {type(answer).__name__}")
    if answer.shape != (num_events,):
        raise ConfigError(f"{expected}, got shape {tuple(answer.shape)}")
    if answer.is_complex():
        raise ConfigError(f"{expected}, got a tensor of {str(answer.dtype).removeprefix('torch.')}")
    return answer.detach().to(device, torch.float32)


@config_class
class HandWrittenRule:
    """Parameters of all hand-written rules, and their treatment of inhibitory synapses.

    Rules act on the strength |w| of a synapse. In an inhibitory one "potentiation" makes w more negative, which is
    NEST's convention: weight and Wmax have one sign, and `stdp_synapse` sees only their ratio. With
    `inhibitory="fixed"` negative weights do not learn, as in Diehl & Cook (2015), where input -> E alone is plastic.
    The symmetric inhibitory rule of Vogels et al. (2011) is another rule, not a setting of these.

    Signs of synapses are those of weights; 0 counts as excitatory. So that no sign is lost, depression stops at
    |w| = 1e-6 scale instead of 0 (which holds if the environment's eta * alpha is not above `scale`).
    """

    dt: float = setting(1.0, "Length of a time step; that of the environment.", unit="ms", section="Scale", gt=0)
    scale: float = setting(
        0.01,
        "Weight change at delta_d = 1: the environment's eta * alpha; larger changes are clipped to it.",
        section="Scale",
        gt=0,
    )
    inhibitory: str = setting(
        "magnitude",
        "Negative weights: magnitude (the rule acts on |w|) or fixed (they do not learn).",
        section="Inhibition",
        choices=INHIBITORY,
    )

    def form(self, **coefficients: Any) -> ClosedForm:
        """Return a closed form with the parameters common to all hand-written rules."""
        return ClosedForm(
            dt=self.dt,
            scale=self.scale,
            fixed_inhibition=self.inhibitory == "fixed",
            smallest=SMALLEST * self.scale,
            **coefficients,
        )

    def strength(self, events: SynapseEvents) -> tuple[Tensor, Tensor]:
        """Return |w|, (E,), and which synapses are inhibitory, bool (E,)."""
        return events.weight.abs(), events.weight < 0

    def answer(self, change: Tensor, strength: Tensor, negative: Tensor) -> Tensor:
        """Return the normalised weight change, (E,), that increases |w| by `change`, but does not reduce it to 0."""
        change = torch.maximum(change, (SMALLEST * self.scale - strength).clamp(max=0.0))
        if self.inhibitory == "fixed":
            change = change.masked_fill(negative, 0.0)
        else:
            change = torch.where(negative, -change, change)
        return change / self.scale
