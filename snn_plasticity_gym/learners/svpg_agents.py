"""Networks that act and learn from a third factor: winner-take-all networks by local rules, and their controls.

An agent looks at inputs, which gives its policy; an action is drawn; with the third factor of each action it puts the
direction in which its weights shall go into their `grad`, for an optimiser that maximises.

Axes: B batch, S inputs, N neurons, A actions.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.svpg import contrast, entropy_change, paper, windows
from snn_plasticity_gym.learners.svpg_formula import SIZE, coefficients_of, formula_change
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.rwta import (
    GroupLayout,
    RWTAWeights,
    initial_weights,
    input_drive,
    one_hot_action,
    sample_groups,
    settle,
)
from snn_plasticity_gym.networks.rwta_spikes import Window, run_window, silent_traces
from snn_plasticity_gym.networks.surrogate import spike


class Look(NamedTuple):
    """What an agent makes of some inputs."""

    policy: Tensor  # chances of the actions, (B, A)
    kept: Any  # what it needs to learn from them


class Connections(NamedTuple):
    """Which numbers of a matrix of weights are connections."""

    mask: Tensor  # 1 where there is one, of the matrix's shape
    symmetric: bool = False  # entry (i, k) and entry (k, i) are one connection


class Agent(Protocol):
    """A network that acts and learns."""

    weights: dict[str, Tensor]  # by name
    connections: dict[str, Connections]  # of those weights that are not biases

    def look(self, inputs: Tensor) -> Look:
        """Return the policy for inputs in [0, 1], (B, S), and what learning from it needs."""

    def judge(self, inputs: Tensor) -> Tensor:
        """Return the policy as it is judged, (B, A); nothing is kept."""

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """Set the `grad` of all weights to the direction in which they shall go.

        Args:
            inputs: (B, S).
            look: Of these inputs and the weights as they are.
            action: What was done, int64 (B,).
            factor: Third factor of each action, (B,).
            entropy: Weight of the policy's entropy.
        """


class MeanFieldAgent:
    """A winner-take-all network in its mean field; learns by `contrast`, `paper`, a formula or `backprop`.

    backprop goes through all sweeps of the mean field.

    Args:
        config: Rule, sizes, scales of the first weights.
        layout: Sizes and connections.
        generator: Source of the first weights, of the CPU.
        noise: Source of what is drawn later, of the device.
        device: Where it lives.
    """

    def __init__(
        self,
        config: SVPGConfig,
        layout: GroupLayout,
        generator: torch.Generator,
        noise: torch.Generator,
        device: torch.device,
    ) -> None:
        fresh = initial_weights(layout, generator, input_scale=config.input_scale, lateral_scale=config.lateral_scale)
        self.layout = layout
        self.parameters = RWTAWeights(*(tensor.to(device) for tensor in fresh))
        self.weights: dict[str, Tensor] = self.parameters._asdict()
        self._masks = RWTAWeights(
            layout.input_mask().to(device), layout.lateral_mask().to(device), torch.ones_like(self.parameters.bias)
        )
        self.connections = {
            "inputs": Connections(self._masks.inputs),
            "lateral": Connections(self._masks.lateral, symmetric=True),
        }
        self._config, self._noise = config, noise
        self._through = config.rule == "backprop"
        self._formula = coefficients_of(config.formula)
        for tensor in self.weights.values():
            tensor.requires_grad_(self._through)

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        with torch.set_grad_enabled(self._through):
            drive = input_drive(self.parameters, inputs)  # (B, N)
            free = settle(self.parameters, self.layout, drive, self._config.sweeps)
        return Look(free[:, self.layout.num_hidden :], (drive, free))

    @torch.no_grad()
    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`."""
        return mean_field_policy(self.parameters, self.layout, inputs, self._config.sweeps)

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        free = look.kept[1]
        if self._through:
            _ascend(self.weights.values(), look.policy, action, factor, entropy)
            assert self.parameters.lateral.grad is not None
            self.parameters.lateral.grad += self.parameters.lateral.grad.T.clone()  # both ends share one weight
            change = RWTAWeights(*(_grad(tensor) for tensor in self.parameters))
        elif self._config.rule == "contrast":
            change = contrast(inputs, free, self._held(look, action), factor)
        elif self._config.rule == "paper":
            change = paper(inputs, free, self._drawn(free, action), factor)
        else:
            held, drawn = self._held(look, action), self._drawn(free, action)
            change = formula_change(self._formula, self.parameters, inputs, free, held, drawn, factor)
        if entropy and not self._through:
            change = _sum(change, entropy_change(inputs, free, self.layout, entropy))
        _hand_over(self.parameters, change, self._masks)

    @torch.no_grad()
    def term_sizes(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor) -> NDArray[np.float64]:
        """Return how far each term of a formula alone would move its weights, root mean squares, (SIZE,).

        Arguments as of `learn`.
        """
        states = (look.kept[1], self._held(look, action), self._drawn(look.kept[1], action))
        sizes = []
        for coefficients in np.eye(SIZE):
            change = formula_change(coefficients, self.parameters, inputs, *states, factor)
            sizes.append(max(float((part * mask).norm()) / float(mask.sum()) ** 0.5
                             for part, mask in zip(change[:2], self._masks[:2], strict=True)))  # fmt: skip
        return np.array(sizes)

    def _held(self, look: Look, action: Tensor) -> Tensor:
        """Return the rates with the action held, (B, N)."""
        drive, free = look.kept
        return settle(self.parameters, self.layout, drive, self._config.sweeps, start=free, action=action)

    def _drawn(self, free: Tensor, action: Tensor) -> Tensor:
        """Draw one active neuron in each group; in the action group it is the action, one-hot (B, N)."""
        return one_hot_action(sample_groups(free, self.layout, self._noise), action, self.layout)


class SpikeAgent:
    """The same network, which acts and learns by windows of spikes: R-STDP with the rule `windows`.

    Spike counts of a free window choose the action; in the window after it the neuron of the action spikes in every
    step. What is before in the rule are mean spikes of both windows; what is after is the chance to spike that a
    neuron's own potential gives it, or its own spikes, which say the same with far more noise. It is judged by its mean
    field.

    Args:
        agent: Whose weights it has.
        config: Lengths of the windows, and what is after.
        noise: Source of its spikes.
    """

    def __init__(self, agent: MeanFieldAgent, config: SVPGConfig, noise: torch.Generator) -> None:
        self._agent, self._config, self._noise = agent, config, noise
        self.weights, self.connections = agent.weights, agent.connections
        self.layout = agent.layout

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        window = self._run(inputs, None, None)
        return Look(window.rates[:, self.layout.num_hidden :], window)

    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`."""
        return self._agent.judge(inputs)

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        free = look.kept
        held = self._run(inputs, free, action)
        by_spikes = self._config.post == "spikes"
        before, after = (window.rates if by_spikes else window.chances for window in (free, held))
        change = windows((free.inputs + held.inputs) / 2, (free.rates + held.rates) / 2, before, after, factor)
        if entropy:
            change = _sum(change, entropy_change(free.inputs, free.rates, self.layout, entropy))
        _hand_over(self._agent.parameters, change, self._agent._masks)

    def _run(self, inputs: Tensor, before: Window | None, action: Tensor | None) -> Window:
        steps = self._config.window if action is None else self._config.held_window
        traces = silent_traces(inputs, self.layout) if before is None else before.traces
        return run_window(
            self._agent.parameters, self.layout, inputs, traces, self._noise,
            steps=steps, tau=self._config.tau, skip=steps // 5, action=action,
        )  # fmt: skip


class ReluAgent:
    """A network with one hidden layer of rectified units; REINFORCE by backpropagation.

    Args:
        layout: Numbers of inputs and actions; its hidden groups are not meant.
        hidden_size: Hidden units.
        generator: Source of the first weights, of the CPU: those of `torch.nn.Linear`.
        device: Where it lives.
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
        _ascend(self.weights.values(), look.policy, action, factor, entropy)


class LIFAgent:
    """A feed-forward network of LIF neurons with one hidden layer; REINFORCE by backpropagation through time.

    Potentials are dimensionless, rest 0 and threshold 1; tau_mem is 2 steps, a spike at weight 1 raises the potential
    by 1. The policy is the softmax of ten times the mean spikes of output neurons.

    Args:
        layout: Numbers of inputs and actions; its hidden groups are not meant.
        config: Hidden neurons, time steps.
        generator: Source of the first weights, N(0, 4 / n_pre), of the CPU.
        noise: Source of input spikes while it learns, of the device.
        device: Where it lives.
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
        """See `Agent`; all inputs, and all judgements, get the same draws, so that each answer is its input's alone."""
        draws = torch.Generator(inputs.device).manual_seed(0)
        shape = (self._num_steps, 1, inputs.shape[1])  # (T, 1, S)
        return self._policy(inputs, torch.rand(shape, generator=draws, device=inputs.device))

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        _ascend(self.weights.values(), look.policy, action, factor, entropy)

    def _policy(self, inputs: Tensor, draws: Tensor) -> Tensor:
        """Return the policy (B, A) of inputs that spike where uniform draws (T, B or 1, S) are below them."""
        spikes = (draws < inputs).to(inputs.dtype)  # (T, B, S)
        layers = list(self.weights.values())
        activity = forward(layers, spikes, self._params, 1.0, [1.0] * len(layers), self._spike)
        return torch.softmax(self.SHARPNESS * activity.spikes[-1].mean(dim=0), dim=1)


def make_agent(
    config: SVPGConfig,
    num_inputs: int,
    num_actions: int,
    generator: torch.Generator,
    noise: torch.Generator,
    device: torch.device,
) -> Agent:
    """Make the agent that the settings ask for; arguments as of `MeanFieldAgent`.

    Raises:
        ConfigError: There are fewer than two actions.
    """
    if num_actions < 2:
        raise ConfigError(f"a policy needs at least two actions, got {num_actions}")
    layout = GroupLayout(
        num_inputs,
        config.hidden_groups,
        config.group_size,
        num_actions,
        config.input_to_action,
        config.hidden_to_hidden,
    )
    if config.rule == "mlp":
        return ReluAgent(layout, config.hidden_size, generator, device)
    if config.rule == "bptt":
        return LIFAgent(layout, config, generator, noise, device)
    agent = MeanFieldAgent(config, layout, generator, noise, device)
    return SpikeAgent(agent, config, noise) if config.spikes else agent


def mean_field_policy(weights: RWTAWeights, layout: GroupLayout, inputs: Tensor, sweeps: int) -> Tensor:
    """Return the rates of the action group, (B, A)."""
    return settle(weights, layout, input_drive(weights, inputs), sweeps)[:, layout.num_hidden :]


def _all_to_all(weights: dict[str, Tensor]) -> dict[str, Connections]:
    return {name: Connections(torch.ones_like(weight)) for name, weight in weights.items() if weight.dim() == 2}


def _ascend(weights: Iterable[Tensor], policy: Tensor, action: Tensor, factor: Tensor, entropy: float) -> None:
    """Set the gradients of factor * log pi(action) plus the weighted entropy, means over the batch."""
    logs = policy.clamp_min(1e-9).log()
    goal = (factor * logs.gather(1, action[:, None])[:, 0]).mean()
    if entropy:
        goal = goal - entropy * (policy * logs).sum(dim=1).mean()
    for tensor in weights:
        tensor.grad = None
    goal.backward()


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _sum(one: RWTAWeights, other: RWTAWeights) -> RWTAWeights:
    return RWTAWeights(*(a + b for a, b in zip(one, other, strict=True)))


def _hand_over(weights: RWTAWeights, change: RWTAWeights, masks: RWTAWeights) -> None:
    for tensor, part, mask in zip(weights, change, masks, strict=True):
        tensor.grad = part * mask
