"""Rules that gradients pass through, tested alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.networks.differentiable import layer_init, step


def assert_gradients_through_a_lifetime(rule: Any, neuron: Any, weights: Tensor, inputs: Tensor) -> None:
    """Gradients by weights and parameters against finite differences, with a smooth function for spikes."""
    names = [name for name, _ in rule.named_parameters()]

    def life(weights: Tensor, *values: Tensor) -> Tensor:
        rule.__dict__.update(zip(names, values, strict=True))  # found before parameters of these names
        state = layer_init(inputs.shape[1], weights, neuron, rule)
        total = torch.zeros(inputs.shape[1], dtype=torch.float64)
        for now in inputs:
            state = step(state, now, weights, rule, neuron, lambda x: torch.sigmoid(2 * x))
            total = total + state.spikes.sum(dim=1) + state.v.sum(dim=1)
        return total

    values = [value.detach().clone().requires_grad_() for value in rule.parameters()]
    assert torch.autograd.gradcheck(life, (weights, *values))


def assert_derivatives_are_differences(rule: Any, state: Any, kinds: Sequence[float]) -> None:
    """The derivative of a synapse's weight by a spike, 0 or 1, is the difference that the spike makes."""

    def after(*spikes: Tensor) -> Tensor:
        weight: Tensor = rule.after_spikes(state, *spikes).weights.squeeze()
        return weight

    now = [torch.tensor([[kind]], dtype=torch.float64, requires_grad=True) for kind in kinds]
    derivatives = torch.autograd.grad(after(*now), now)
    for side, derivative in enumerate(derivatives):
        ends = []
        for value in (0.0, 1.0):
            spikes = [one.detach().clone() for one in now]
            spikes[side][:] = value
            ends.append(after(*spikes))
        torch.testing.assert_close(derivative.squeeze(), ends[1] - ends[0])
        assert derivative.abs() > 1e-4
