"""Winner-take-all agents that learn from a third factor by local rules, and the factory of agents.

Axes: B batch, S inputs, N neurons, A actions.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.agents import Agent, Connections, Look, reinforce
from snn_plasticity_gym.learners.backprop_agents import LIFAgent, ReluAgent
from snn_plasticity_gym.learners.svpg import contrast, entropy_change, paper, windows
from snn_plasticity_gym.learners.svpg_formula import SIZE, coefficients_of, formula_change
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


class MeanFieldAgent:
    """A winner-take-all network in its mean field; learns by `contrast`, `paper`, a formula or `backprop`.

    backprop goes through all sweeps of the mean field.

    Args:
        config: Rule, sizes, scales of the initial weights.
        layout: Sizes and connections.
        generator: Source of the initial weights, of the CPU.
        noise: Source of later random numbers, of the device.
        device: Of its tensors.
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
            reinforce(self.weights.values(), look.policy, action, factor, entropy)
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
        """Return the root mean square weight change by each term of a formula alone, (SIZE,).

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
        """Return the rates with the action group clamped, (B, N)."""
        drive, free = look.kept
        return settle(self.parameters, self.layout, drive, self._config.sweeps, start=free, action=action)

    def _drawn(self, free: Tensor, action: Tensor) -> Tensor:
        """Draw one active neuron in each group; in the action group it is the action, one-hot (B, N)."""
        return one_hot_action(sample_groups(free, self.layout, self._noise), action, self.layout)


class SpikeAgent:
    """The same network with spike windows: R-STDP by the rule `windows`.

    Spike counts of a free window choose the action; in the window after it the neuron of the action spikes in every
    step. Presynaptic factors of the rule are mean spikes of both windows; postsynaptic ones are the spike probability
    by the neuron's potential, or its spikes, a far noisier estimate. Evaluation uses the mean
    field.

    Args:
        agent: Agent with the weights.
        config: Lengths of the windows, and the postsynaptic factor.
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


def make_agent(
    config: SVPGConfig,
    num_inputs: int,
    num_actions: int,
    generator: torch.Generator,
    noise: torch.Generator,
    device: torch.device,
) -> Agent:
    """Make the agent of the settings; arguments as of `MeanFieldAgent`.

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


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _sum(one: RWTAWeights, other: RWTAWeights) -> RWTAWeights:
    return RWTAWeights(*(a + b for a, b in zip(one, other, strict=True)))


def _hand_over(weights: RWTAWeights, change: RWTAWeights, masks: RWTAWeights) -> None:
    for tensor, part, mask in zip(weights, change, masks, strict=True):
        tensor.grad = part * mask
