"""The BCM rule: depression below, potentiation above a threshold that slides with postsynaptic activity."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.base import HandWrittenRule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.traces import Traces, exponential_kernel, of_post, of_pre


@config_class
class BCM(HandWrittenRule):
    """Bienenstock, Cooper & Munro (1982), dw = eta x y (y - theta), with spikes; no change at a pre spike.

        post spike: |w| <- |w| + eta * x * (y - theta)
        theta(t)  = theta_min + (1 - a) sum over k >= 0 of a^k y(t - k)^2 / target,   a = exp(-dt / tau_theta)

    x and y are traces of the pre and the post neuron, x = rate * tau_pre and y = rate * tau_post on average. The first
    factor y of phi = y (y - theta) is the post spike itself, which comes at the post neuron's rate; the second counts
    strictly earlier spikes, so that for independent Poisson spikes the mean change is eta x phi(y). The threshold
    is the running mean of y^2 over a constant, the form of Intrator & Cooper (1992) of the paper's superlinear
    threshold; a constant rate neither grows nor shrinks weights at y = target. Of spikes, y^2 has the mean
    (rate tau)^2 + rate tau / 2: shot noise raises the threshold a little. x counts the pre spike of now
    (`coincident`), as in `Oja`. The paper's uniform decay of weights is left out.

    The threshold is computed from the post neuron's history, without further state: it slides within an image
    and starts each one at theta_min, with silence before. This covers the homeostatic part of the theory; selectivity
    between images needs a threshold averaged over many images, which histories do not cover. With history_length below
    num_steps its memory is even shorter.
    """

    learning_rate: float = setting(0.01, "Learning rate eta.", section="BCM", ge=0)
    tau_pre: float = setting(20.0, "Time constant of the pre trace.", unit="ms", section="BCM", gt=0)
    tau_post: float = setting(20.0, "Time constant of the post trace y.", unit="ms", section="BCM", gt=0)
    tau_theta: float = setting(100.0, "Time constant of the sliding threshold.", unit="ms", section="BCM", gt=0)
    target: float = setting(1.0, "Post trace at which a constant rate is in balance.", section="BCM", gt=0)
    theta_min: float = setting(0.0, "Threshold of a neuron that has been silent.", section="BCM", ge=0)
    coincident: bool = setting(True, "Whether a pre spike of the same step counts.", section="BCM")

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,)."""
        traces = Traces(events, self.dt)
        pre = of_pre(events, traces.exponential(self.tau_pre, now=self.coincident))  # (E,)
        excess = of_post(events, traces.exponential(self.tau_post) - self.threshold(events))  # (E,)
        strength, negative = self.strength(events)
        fired = events.kind != KIND_PRE
        return self.answer(self.learning_rate * (fired * (pre * excess)), strength, negative)

    def closed_form(self) -> ClosedForm:
        """Return the rule's coefficients."""
        return self.form(
            tau_pre_fast=self.tau_pre,
            tau_post_fast=self.tau_post,
            tau_theta=self.tau_theta,
            coincident=self.coincident,
            p=-self.learning_rate * self.theta_min,
            p_fast=self.learning_rate,
            p_theta=self.learning_rate / self.target,
        )

    def threshold(self, events: SynapseEvents) -> Tensor:
        """Return theta of the histories of post neurons that fired now, theta_min for the others: (H,)."""
        is_post = torch.zeros(len(events.histories), dtype=torch.bool, device=events.histories.device)
        is_post[events.pair_post] = True
        rows = (is_post & (events.histories[:, 0] & 1).bool()).nonzero().squeeze(1)  # (N,) bit 0 is now
        length, dtype = events.history_length, events.weight.dtype
        bits = unpack(events.histories[rows], length).to(dtype)  # (N, K)
        traces, mean = _threshold_weights(length, self.dt / self.tau_post, self.dt / self.tau_theta, dtype, bits.device)
        theta = torch.full((len(events.histories),), self.theta_min, dtype=dtype, device=bits.device)
        theta[rows] += (bits @ traces).square() @ mean / self.target
        return theta


@functools.lru_cache(maxsize=64)
def _threshold_weights(
    length: int, ratio: float, slow_ratio: float, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the matrices from a history to its traces at every step, (K, K), and to their running mean, (K,)."""
    step = torch.arange(length, dtype=torch.float64)  # oldest first
    delay = step.unsqueeze(0) - step.unsqueeze(1)  # (K, K) from the spike's step to the trace's
    traces = torch.where(delay > 0, torch.exp(-ratio * delay), 0.0)
    slow = exponential_kernel(length, slow_ratio).flip(0)
    mean = slow * (1.0 - torch.exp(torch.tensor(-slow_ratio, dtype=torch.float64)))
    return traces.to(device, dtype), mean.to(device, dtype)
