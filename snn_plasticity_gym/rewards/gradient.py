"""Gradient of the loss by every weight of every lifetime at every step, from one backward pass.

The loss of a lifetime is the cross-entropy of softmax(alpha * rate), rate = output spikes / ms. The gradient is
g_ij(t) = dL/dw_ij(t), with the weights of each step as separate variables. For the network of
`networks/differentiable.py` (with the forward pass; k = dt / tau_mem) and a surrogate h for the derivative of the spike
function, the chain rule from the last step to the first and from the last layer L down is

    e_L(t)    = dL/ds_L, the same in every step                          (`loss_and_output_gradient`)
    e_l,i(t)  = sum_j w_l+1,ij(t) delta_l+1,j(t)                         for l < L
    mu_l(t)   = e_l(t) h(u_l(t) - v_th) + lambda_l(t) [u_l(t) <= v_th]   dL/du; no gradient through the reset
    delta_l(t) = gain_l / tau_mem resistance mu_l(t)                     dL/dI times current of a spike
    lambda_l(t-1) = (1 - k) mu_l(t)                                      dL/dv, lambda_l(T) = 0
    g_l,ij(t) = s_l-1,i(t) delta_l,j(t)

This is STBP (Wu, Deng, Li, Zhu & Shi 2018) with a hard reset that is held constant. The last line makes a pass
cheap: g of an event is delta[row, post] if its pre neuron fired in this step and else 0, and no tensor of the size of
the weights is built. Per step a layer costs one product of its weights with a vector per lifetime.

    loss, output_gradient = loss_and_output_gradient(counts, labels, alpha, num_steps * dt)
    adjoint = Adjoint(params, dt, gains, derivative("rectangular", width=1.0))
    for t in reversed(range(num_steps)):
        deltas = adjoint.step(potentials_at[t], weights_at[t], output_gradient)
        gradient = pre_spiked * deltas[layer][row, post]                 # (E,) of the events of step t
        reward = alignment_reward(gradient, weight_change, penalty)      # (E,)

Axes: B lifetimes, T steps, N neurons, E events.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.networks.differentiable import require_plain
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import pulse
from snn_plasticity_gym.networks.surrogate import Curve


def loss_and_output_gradient(counts: Tensor, labels: Tensor, alpha: float, duration: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the output rates, and its derivative by an output spike, the same for every step.

        p = softmax(alpha * counts / D),  L = -log p_label,  dL/ds_k(t) = alpha / D (p_k - [k = label])

    Args:
        counts: Spikes of each output neuron in the episode, (B, N), any dtype; integers become float32.
        labels: Labels, int64 (B,).
        alpha: Sharpness of the softmax, ms, as rates are spikes per ms.
        duration: D, length of the episode, ms.

    Returns:
        Loss of each lifetime (B,), and dL/ds (B, N), the same in each of the T steps.
    """
    counts = counts if counts.is_floating_point() else counts.float()
    logits = alpha / duration * counts  # (B, N)
    loss = F.cross_entropy(logits, labels, reduction="none")  # (B,)
    error = logits.softmax(dim=1)  # (B, N) p - [k = label]
    error[torch.arange(len(labels), device=labels.device), labels] -= 1.0
    return loss, alpha / duration * error


def alignment_reward(gradient: Tensor, weight_change: Tensor, penalty: float) -> Tensor:
    """Reward of each event, r = -g dw - lambda dw^2.

    To first order -g dw is the decrease of the loss by the change; without the penalty the optimal change is always the
    largest one, with it dw = -g / (2 lambda). An event with a silent pre neuron has g = 0: only the penalty applies.

    Args:
        gradient: g of each event, (E,).
        weight_change: dw of each event, (E,).
        penalty: lambda, at least 0, in units of loss per squared weight.

    Returns:
        Rewards (E,).
    """
    return -weight_change * (gradient + penalty * weight_change)


class Adjoint:
    """The backward pass through one episode of B lifetimes, called from the last step to the first.

    It holds lambda of every layer, so an episode needs a new one. It is independent of autograd. The module's docstring
    has the equations and an example.

    Args:
        params: Constants of all layers; the options of `LIFParams` must be off.
        dt: Step in ms.
        gains: Charge of a spike at weight 1 (current times ms), for the projection into each layer.
        curve: ds/dx of x = u - v_th, from `surrogate.derivative`.

    Raises:
        ValueError: An option of `params` is on.
    """

    def __init__(self, params: LIFParams, dt: float, gains: Sequence[float], curve: Curve) -> None:
        require_plain(params)
        leak = dt / params.tau_mem
        self._v_th = params.v_th
        self._keep = 1.0 - leak
        self._scales = [pulse(gain, dt) * leak * params.resistance for gain in gains]  # mV per spike at weight 1
        self._curve = curve
        self._by_membrane: list[Tensor] | None = None  # lambda: (B, N) per layer, 1/mV

    @torch.no_grad()
    def step(self, potentials: Sequence[Tensor], weights: Sequence[Tensor], output_gradient: Tensor) -> list[Tensor]:
        """Go one step back in time.

        Args:
            potentials: u of this step, before the reset, (B, N) mV for each layer.
            weights: Weights used for this step's currents, for the projection into each layer, (B, n_pre, n_post), or
                (n_pre, n_post) if shared by lifetimes. The first is not read.
            output_gradient: dL/ds of the output spikes of this step, (B, N).

        Returns:
            delta of this step, (B, N) for each layer.

        Raises:
            ValueError: Not one tensor of potentials and of weights for each layer.
        """
        if not len(potentials) == len(weights) == len(self._scales):
            raise ValueError(
                f"potentials and weights must hold one tensor per layer: {len(self._scales)}, "
                f"got {len(potentials)} and {len(weights)}"
            )
        after = self._by_membrane or [torch.zeros_like(u) for u in potentials]
        before, deltas = [], []
        by_spike = output_gradient  # (B, N) e of the present layer
        for layer in reversed(range(len(potentials))):
            x = potentials[layer] - self._v_th  # (B, N) mV
            by_potential = torch.addcmul(after[layer].masked_fill(x > 0, 0.0), by_spike, self._curve(x))  # (B, N)
            delta = self._scales[layer] * by_potential
            deltas.append(delta)
            before.append(self._keep * by_potential)
            if layer:
                by_spike = _backproject(weights[layer], delta)
        self._by_membrane = before[::-1]
        return deltas[::-1]


def _backproject(weight: Tensor, delta: Tensor) -> Tensor:
    """sum_j w_ij delta_j: weights as in `Adjoint.step`, (B, n_post) -> (B, n_pre)."""
    if weight.ndim == 2:
        return delta @ weight.T
    return torch.bmm(weight, delta.unsqueeze(2)).squeeze(2)
