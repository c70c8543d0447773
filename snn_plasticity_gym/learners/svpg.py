"""Local three-factor rules of winner-take-all networks: reward times presynaptic times postsynaptic activity.

Every rule returns the mean weight change over a batch of actions, each times its third factor R, reward minus a
baseline. Both are reward-modulated Hebbian rules that follow from the policy gradient.

`contrast`: the network settles freely to rates q-, an action is drawn from its action group, the group is clamped to
that action (an efference copy), and the network settles again, to q+. With grad log pi(a | s) = E[grad log p | a] -
E[grad log p] of the energy in `networks.rwta`,

    dW = R s (q+ - q-)^T,   dJ = R (q+ q+^T - q- q-^T),   db = R (q+ - q-).

By windows of spikes it is `windows`, pre times (post less expected post): since q+ q+^T - q- q-^T is the symmetric part
of 2 m (q+ - q-)^T with the mean m of both phases, every weight changes by R times the mean spikes of its pre neuron in
both windows times the change of its post neuron by the action.

`paper`, Yang et al. (2022): states v are drawn from the free rates, group by group, and

    dW = R s (v - q)^T,   dJ = R (q (v - q)^T + (v - q) q^T),   db = R (v - q).

The reward depends on the action alone, and hidden neurons are drawn independently of it. So the mean change
of weights between inputs and hidden neurons is zero.

Axes: B batch, S inputs, N neurons, A actions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_plasticity_gym.networks.rwta import GroupLayout, RWTAWeights


def contrast(inputs: Tensor, free: Tensor, held: Tensor, factor: Tensor) -> RWTAWeights:
    """Return the mean change of a batch by `contrast`; missing connections are not masked yet.

    Args:
        inputs: (B, S).
        free: Rates of the free phase, (B, N).
        held: Rates of the phase in which the action is held, (B, N).
        factor: R, (B,).
    """
    weighted = factor[:, None] / len(factor)
    up, down = weighted * held, weighted * free  # (B, N)
    lateral = up.T @ held - down.T @ free
    return RWTAWeights(inputs.T @ (up - down), (lateral + lateral.T) / 2, (up - down).sum(dim=0))


def windows(inputs: Tensor, spikes: Tensor, free: Tensor, held: Tensor, factor: Tensor) -> RWTAWeights:
    """Return the mean change of a batch by `contrast` of two windows of spikes.

    Args:
        inputs: Mean spikes of inputs in both windows, (B, S).
        spikes: Mean spikes of neurons in both windows, as at their targets, (B, N).
        free: Activity of each neuron in the free window, by its spikes or its potential, (B, N).
        held: The same in the window in which the action is held, (B, N).
        factor: R, (B,).
    """
    return _toward(inputs, spikes, factor[:, None] * (held - free))


def paper(inputs: Tensor, free: Tensor, states: Tensor, factor: Tensor) -> RWTAWeights:
    """Return the mean change of a batch by the published rule; see the module.

    Args:
        inputs: (B, S).
        free: Rates q, (B, N).
        states: v, one-hot in each group, the action group in the action that was taken, (B, N).
        factor: R, (B,).
    """
    return _toward(inputs, free, factor[:, None] * (states - free))


def entropy_change(inputs: Tensor, free: Tensor, layout: GroupLayout, scale: float) -> RWTAWeights:
    """Return the mean change that raises the entropy of the action group, by its own fields alone.

    d entropy / d field_k = -q_k (log q_k + entropy).

    Args:
        inputs: (B, S).
        free: Rates, (B, N).
        layout: Of the network.
        scale: Weight of the entropy relative to the reward.
    """
    policy = free[:, layout.num_hidden :]  # (B, A)
    logs = policy.clamp_min(1e-9).log()
    push = torch.zeros_like(free)
    push[:, layout.num_hidden :] = -scale * policy * (logs - (policy * logs).sum(dim=1, keepdim=True))
    return _toward(inputs, free, push)


def _toward(inputs: Tensor, rates: Tensor, push: Tensor) -> RWTAWeights:
    """Return the mean change of weights for a change `push` (B, N) of fields: each weight times its input."""
    push = push / len(push)
    lateral = rates.T @ push
    return RWTAWeights(inputs.T @ push, lateral + lateral.T, push.sum(dim=0))


def confidence(policy: Tensor) -> Tensor:
    """Return sum_a pi_a^2, (B,), of policies (B, A): the expected reward of a calibrated policy.

    A baseline without a critic: it depends on the action group's rates alone and not on the action, so that it does
    not bias the mean change.
    """
    return policy.square().sum(dim=1)


def clipped_factor(policy: Tensor, action: Tensor, old_probability: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Return the third factor of PPO, (B,): advantage times probability ratio, 0 where the clip cuts the gradient off.

    Schulman et al. (2017), equation 7: the gradient of min(r A, clip(r, 1 - c, 1 + c) A), where r is the ratio, is
    r A grad log pi, unless r is beyond the clip in the direction of A.

    Args:
        policy: Probabilities now, (B, A).
        action: Actions taken, int64 (B,).
        old_probability: Their probabilities under the old policy, (B,).
        advantage: A, (B,).
        clip: c.
    """
    ratio = policy.gather(1, action[:, None])[:, 0] / old_probability
    beyond = ((advantage > 0) & (ratio > 1 + clip)) | ((advantage < 0) & (ratio < 1 - clip))
    return torch.where(beyond, torch.zeros_like(ratio), ratio * advantage)
