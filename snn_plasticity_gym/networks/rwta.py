"""A recurrent network of winner-take-all groups with the stationary distribution of an energy as its policy.

Yang et al. (2022), Variational Policy Gradients in recurrent winner-take-all networks. In each group one neuron is
active at a time. States v (one-hot in every group) have the log-probability, up to a constant,

    log p(v | s) = 1/2 v^T J v + s^T W v + b^T v,

with inputs s in [0, 1], a symmetric J that is zero within groups, and b. The last group encodes the action.

Mean field: the firing rate q_k of a neuron is the softmax, within its group, of its field

    f_k = sum_j J_jk q_j + sum_i W_ik s_i + b_k.

Axes: B batch, S inputs, N neurons (hidden ones first, action last), A actions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GroupLayout(NamedTuple):
    """Sizes and connections of a network; it holds no weights."""

    num_inputs: int
    hidden_groups: int
    group_size: int  # neurons of a hidden group
    num_actions: int
    input_to_action: bool = True  # without it inputs reach actions through hidden neurons only
    hidden_to_hidden: bool = True

    @property
    def num_hidden(self) -> int:
        """Hidden neurons."""
        return self.hidden_groups * self.group_size

    @property
    def num_neurons(self) -> int:
        """N."""
        return self.num_hidden + self.num_actions

    def input_mask(self) -> Tensor:
        """Return the mask of connections from inputs to neurons, float32 (S, N)."""
        mask = torch.ones(self.num_inputs, self.num_neurons)
        if not self.input_to_action:
            mask[:, self.num_hidden :] = 0.0
        return mask

    def lateral_mask(self) -> Tensor:
        """Return the mask of connections between neurons, none within a group, float32 (N, N), symmetric."""
        group = torch.arange(self.num_neurons) // max(1, self.group_size)  # (N,)
        group[self.num_hidden :] = self.hidden_groups
        mask = (group[:, None] != group[None, :]).float()
        if not self.hidden_to_hidden:
            mask[: self.num_hidden, : self.num_hidden] = 0.0
        return mask

    def num_weights(self) -> int:
        """Number of weights, each pair of neurons once, without biases."""
        return int(self.input_mask().sum()) + int(self.lateral_mask().sum()) // 2


class RWTAWeights(NamedTuple):
    """Learned parameters; also the form of their changes."""

    inputs: Tensor  # W, (S, N)
    lateral: Tensor  # J, (N, N), symmetric
    bias: Tensor  # b, (N,)


def initial_weights(
    layout: GroupLayout, generator: torch.Generator, *, input_scale: float = 0.05, lateral_scale: float = 0.1
) -> RWTAWeights:
    """Draw weights, normal around zero; weights onto action neurons from inputs and all biases are zero.

    J must not be zero: hidden neurons learn from the effect of an action on them, which is transmitted through J.

    Args:
        layout: Sizes and connections.
        generator: Of the CPU.
        input_scale: Standard deviation from inputs to hidden neurons.
        lateral_scale: Standard deviation between hidden and action neurons; among hidden ones 0.3 of it.
    """
    neurons, hidden = layout.num_neurons, layout.num_hidden
    noise = torch.randn(neurons, neurons, generator=generator) * lateral_scale
    noise[:hidden, :hidden] *= 0.3
    lateral = (noise + noise.T) / 2**0.5 * layout.lateral_mask()
    inputs = torch.randn(layout.num_inputs, neurons, generator=generator) * input_scale * layout.input_mask()
    inputs[:, hidden:] = 0.0
    return RWTAWeights(inputs, lateral, torch.zeros(neurons))


def softmax_groups(fields: Tensor, layout: GroupLayout) -> Tensor:
    """Return the softmax of fields within each group, (B, N)."""
    hidden = fields[:, : layout.num_hidden].reshape(len(fields), layout.hidden_groups, layout.group_size)
    action = fields[:, layout.num_hidden :]
    return torch.cat([_softmax(hidden).flatten(1), _softmax(action)], dim=1)


def _softmax(fields: Tensor) -> Tensor:
    """As torch.softmax over the last dimension, which is seven times slower on a CPU for short dimensions."""
    if fields.numel() == 0:
        return fields
    excited = torch.exp(fields - fields.detach().amax(dim=-1, keepdim=True))
    return excited / excited.sum(dim=-1, keepdim=True)


def input_drive(weights: RWTAWeights, inputs: Tensor) -> Tensor:
    """Return the part of the fields that does not depend on rates, (B, N), of inputs (B, S)."""
    return torch.addmm(weights.bias, inputs, weights.inputs)


def one_hot_action(rates: Tensor, action: Tensor, layout: GroupLayout) -> Tensor:
    """Return rates (B, N) with the action group clamped to the chosen action (B,)."""
    chosen = torch.nn.functional.one_hot(action, layout.num_actions).to(rates.dtype)  # (B, A)
    return torch.cat([rates[:, : layout.num_hidden], chosen], dim=1)


def settle(
    weights: RWTAWeights,
    layout: GroupLayout,
    drive: Tensor,
    sweeps: int,
    *,
    start: Tensor | None = None,
    action: Tensor | None = None,
    tolerance: float = 0.0,
) -> Tensor:
    """Return the rates of the mean field, (B, N).

    A sweep sets all rates to the group softmax of their fields at once. Gradients flow through the sweeps if weights
    require them.

    Args:
        weights: Those of the network.
        layout: Its sizes and connections.
        drive: `input_drive` of the inputs, (B, N).
        sweeps: Maximum number of sweeps.
        start: Initial rates, (B, N); None: those of the drive alone.
        action: Action to which the action group is clamped, int64 (B,); None: it is free.
        tolerance: Stop when the mean change of a rate in a sweep is below this; 0: take all sweeps.
    """
    rates = softmax_groups(drive, layout) if start is None else start
    if action is not None:
        rates = one_hot_action(rates, action, layout)
    for _ in range(sweeps):
        updated = softmax_groups(torch.addmm(drive, rates, weights.lateral), layout)
        if action is not None:
            updated = one_hot_action(updated, action, layout)
        moved = float((updated - rates).detach().abs().mean()) if tolerance > 0 else 1.0
        rates = updated
        if moved < tolerance:
            break
    return rates


def sample_groups(rates: Tensor, layout: GroupLayout, generator: torch.Generator) -> Tensor:
    """Draw one active neuron in each group by its rates, one-hot float (B, N)."""
    clock = torch.empty_like(rates).exponential_(generator=generator)
    return first_of_groups(rates / clock.clamp_min(1e-30), layout)


def first_of_groups(values: Tensor, layout: GroupLayout) -> Tensor:
    """Return 1 for the neuron of the largest value in each group, one-hot (B, N) of the type of `values`."""
    parts = []
    if layout.num_hidden:
        hidden = values[:, : layout.num_hidden].reshape(len(values), layout.hidden_groups, layout.group_size)
        parts.append(torch.zeros_like(hidden).scatter_(-1, hidden.argmax(-1, keepdim=True), 1.0).flatten(1))
    action = values[:, layout.num_hidden :]
    parts.append(torch.zeros_like(action).scatter_(-1, action.argmax(-1, keepdim=True), 1.0))
    return torch.cat(parts, dim=1)
