"""Baselines of winner-take-all networks: agents whose hidden layer learns by REINFORCE and backpropagation.

Axes: B batch, S inputs, N hidden neurons, A actions, T steps.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.agents import Connections, Look, reinforce
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.rwta import GroupLayout
from snn_plasticity_gym.networks.surrogate import spike


class ReluAgent:
    """A network with one hidden layer of rectified units; REINFORCE by backpropagation.

    Args:
        layout: Numbers of inputs and actions; its hidden groups are ignored.
        hidden_size: Hidden units.
        generator: Source of the initial weights, of the CPU: those of `torch.nn.Linear`.
        device: Of its tensors.
    """

    def __init__(self, layout: GroupLayout, hidden_size: int, generator: torch.Generator, device: torch.device) -> None:
        self.weights: dict[str, Tensor] = {}
        sizes = (layout.num_inputs, hidden_size, layout.num_actions)
        for number, (n_pre, n_post) in enumerate(itertools.pairwise(sizes), start=1):
            for name, shape in ((f"layer_{number}", (n_pre, n_post)), (f"bias_{number}", (n_post,))):
                drawn = (torch.rand(shape, generator=generator) * 2 - 1) / n_pre**0.5
                self.weights[name] = drawn.to(device).requires_grad_()
        self.connections = _all_to_all(self.weights)

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        w = self.weights
        hidden = torch.addmm(w["bias_1"], inputs, w["layer_1"]).relu()  # (B, N)
        return Look(torch.softmax(torch.addmm(w["bias_2"], hidden, w["layer_2"]), dim=1), None)

    @torch.no_grad()
    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`."""
        return self.look(inputs).policy

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        reinforce(self.weights.values(), look.policy, action, factor, entropy)


class LIFAgent:
    """A feed-forward network of LIF neurons with one hidden layer; REINFORCE by backpropagation through time.

    Potentials are dimensionless, rest 0 and threshold 1; tau_mem is 2 steps, a spike at weight 1 raises the potential
    by 1. The policy is the softmax of ten times the mean spikes of output neurons.

    Args:
        layout: Numbers of inputs and actions; its hidden groups are ignored.
        config: Hidden neurons, time steps.
        generator: Source of the initial weights, N(0, 4 / n_pre), of the CPU.
        noise: Source of input spikes during learning, of the device.
        device: Of its tensors.
    """

    SHARPNESS = 10.0

    def __init__(
        self,
        layout: GroupLayout,
        config: SVPGConfig,
        generator: torch.Generator,
        noise: torch.Generator,
        device: torch.device,
    ) -> None:
        self._num_steps, self._noise = config.num_steps, noise
        self._params = LIFParams(tau_mem=2.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=2.0)
        self._spike = functools.partial(spike, surrogate="gaussian", width=0.5)
        self.weights: dict[str, Tensor] = {}
        sizes = (layout.num_inputs, config.hidden_size, layout.num_actions)
        for number, (n_pre, n_post) in enumerate(itertools.pairwise(sizes), start=1):
            drawn = torch.randn(n_pre, n_post, generator=generator) * 2.0 / n_pre**0.5
            self.weights[f"layer_{number}"] = drawn.to(device).requires_grad_()
        self.connections = _all_to_all(self.weights)

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        shape = (self._num_steps, *inputs.shape)  # (T, B, S)
        return Look(self._policy(inputs, torch.rand(shape, generator=self._noise, device=inputs.device)), None)

    @torch.no_grad()
    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`; all inputs share fixed random draws, so that the policy is a function of its input alone."""
        draws = torch.Generator(inputs.device).manual_seed(0)
        shape = (self._num_steps, 1, inputs.shape[1])  # (T, 1, S)
        return self._policy(inputs, torch.rand(shape, generator=draws, device=inputs.device))

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        reinforce(self.weights.values(), look.policy, action, factor, entropy)

    def _policy(self, inputs: Tensor, draws: Tensor) -> Tensor:
        """Return the policy (B, A) of inputs that spike where uniform draws (T, B or 1, S) are below them."""
        spikes = (draws < inputs).to(inputs.dtype)  # (T, B, S)
        layers = list(self.weights.values())
        activity = forward(layers, spikes, self._params, 1.0, [1.0] * len(layers), self._spike)
        return torch.softmax(self.SHARPNESS * activity.spikes[-1].mean(dim=0), dim=1)


def _all_to_all(weights: dict[str, Tensor]) -> dict[str, Connections]:
    return {name: Connections(torch.ones_like(weight)) for name, weight in weights.items() if weight.dim() == 2}
