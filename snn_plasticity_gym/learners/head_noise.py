"""Exploration in rule space with all parameters of the heads perturbed, not their last layers alone.

Every lifetime follows different heads. A layer W x + b of a head becomes, for one lifetime,

    W x + b + sigma n,    n = sum_j xi_j (x_j - mu_j) / (s_j sqrt(F)) + xi_0,    xi ~ N(0, I), for each output,

with mu_j and s_j mean and deviation of input j of F over events of the mean rule. They are measured anew in
every rollout: with scales of the first one, perturbations grew with the hidden layers during learning,
and drove the bandit of the tests past its best rule into saturation.
So inputs of any scale count equally (outputs of front and hidden layers vary little from event to event), and each
layer's outputs are perturbed by about as much. As in `exploration` the perturbed rule is the action, and since
it is linear in xi its log-probability is exact.

Axes: B lifetimes, G heads, E events, F inputs of a layer, D parameters of all heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners.exploration import (
    EVERY,
    FIRST_STEPS,
    MEASURED_STEPS,
    MEMORY,
    draw_perturbations,
    perturbed,
)
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.head_inputs import OwnLayer
from snn_plasticity_gym.policies.head_registry import layered_heads
from snn_plasticity_gym.policies.network import RuleNetwork
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State

MEASURED = 256  # events of a time step to measure, once rules are perturbed
FLOOR = 0.05  # smallest deviation of an input, as a share of the root mean square deviation of its layer's inputs


class LayerScale(NamedTuple):
    """Linear map from xi to one layer, by statistics of its inputs."""

    centre: Tensor  # (F,) mu
    spread: Tensor  # (F,) s sqrt(F)

    def change(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights (..., O, F) and biases (..., O) of the perturbation n, for xi (..., O, F + 1)."""
        weights = xi[..., :-1] / self.spread
        return weights, xi[..., -1] - weights @ self.centre


class HeadNoise:
    """Every lifetime follows different perturbed heads. The first rollout follows the mean rule, and measures scales.

    Args:
        policy: Whose heads are perturbed.
        generator: Source of the perturbations.
        options: With `mirrored` lifetimes 2 k and 2 k + 1 get opposite perturbations.

    Raises:
        ConfigError: The heads have no accessible layers.
    """

    measured_steps = MEASURED_STEPS  # minimum per rollout

    def __init__(self, policy: PlasticityPolicy, generator: torch.Generator, options: EventOptions) -> None:
        layered_heads(policy.rule.heads)
        self._policy = policy
        self._generator = generator
        self._mirrored = options.mirrored
        self._world = World()
        self._moments: list[Tensor] | None = None  # (3, F) of each layer: sums of 1, x and x^2 over own events
        self._steps = 0  # of this rollout that had events
        self._heads: list[list[OwnLayer]] = []  # layers of each head
        self._own: Rule | None = None  # the rule with these layers
        self.scales: list[LayerScale] = []  # of each layer, head after head; empty before the first perturbations
        self.drawn: list[Tensor] = []  # xi of this rollout and of all processes' lifetimes, (B, D) each

    @property
    def ready(self) -> bool:
        """Whether lifetimes follow perturbed rules yet."""
        return bool(self.scales)

    def state_dict(self) -> State:
        """Return the sums over earlier events, from which each rollout computes the rest."""
        return {"moments": self._moments}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        moments = state["moments"]
        self._moments = None if moments is None else [sums.to(self._generator.device) for sums in moments]

    def begin_rollout(self) -> None:
        """Scale the next perturbations by the statistics of all events so far."""
        self.drawn, self._heads, self._own, self._steps = [], [], None, 0
        if self._world.all(self._moments is not None):
            totals = [self._world.all_sum(moments) for moments in self._moments or ()]
            self.scales = [_scale(moments) for moments in totals]
            self._moments = [MEMORY * moments / self._world.size for moments in totals]

    def perturb(self, num_lifetimes: int) -> None:
        """Draw perturbed heads for every lifetime."""
        if not self.ready:
            return
        xi = draw_perturbations(num_lifetimes, (self.size,), self._generator, self._mirrored, self._world)
        self.drawn.append(xi)
        self._follow(self._policy.sigma * xi[self._world.rows(num_lifetimes)])

    @property
    def size(self) -> int:
        """Number D of parameters of all heads."""
        return sum(layer.out_features * (layer.in_features + 1) for layer in _all_layers(self._policy.rule))

    def _follow(self, shifts: Tensor) -> None:
        """Give every lifetime the policy's heads, shifted by its row of `shifts` (B, D)."""
        network = self._policy.rule
        self._own = None
        changes = iter(self._changes(network, shifts))
        self._heads = [
            [perturbed(layer, *next(changes)) for layer in head.layers] for head in layered_heads(network.heads)
        ]

    def act(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor | None]:
        """Return the weight change of each event, (E,); the action is the rule, so events have no log-probability."""
        network, state = rule.network, events.local_state()
        if not len(state.pair):
            return state.weight.clone(), None
        inputs = rule.inputs(state)
        if not self.ready:
            self._steps += 1
            return self._measure(network, inputs.rows(slice(None)), state.group), None
        if self._steps < self.measured_steps or (self.measured_steps and self._steps % EVERY == 0):
            some = slice(None, None, -(-len(state.pair) // MEASURED))
            self._measure(network, inputs.rows(some), state.group[some])
        self._steps += 1
        return inputs.by_lifetime(self._heads, events.lengths), None

    def whole(self, rule: FrozenRule) -> Rule | None:
        """Return the rule of each lifetime, or in the first rollout the mean rule, once enough events were measured."""
        if not self.ready:
            return rule if self._steps >= FIRST_STEPS else None
        if self._steps < self.measured_steps:
            return None
        if self._own is None:  # once for all episodes: compiled loops cache data on the rule
            self._own = rule.of_lifetimes(self._heads)
        return self._own

    @torch.no_grad()
    def move(self, network: RuleNetwork, shift: Tensor) -> None:
        """Shift the heads by `shift` (D,), given in the coordinates of xi."""
        for layer, (weights, bias) in zip(_all_layers(network), self._changes(network, shift), strict=True):
            layer.weight.add_(weights)
            layer.bias.add_(bias)

    def _changes(self, network: RuleNetwork, xi: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Split xi (..., D) into the changes of all layers, (..., O, F) and (..., O) each."""
        layers = _all_layers(network)
        sizes = [layer.out_features * (layer.in_features + 1) for layer in layers]
        parts = zip(layers, self.scales, xi.split(sizes, dim=-1), strict=True)
        return [scale.change(part.unflatten(-1, (layer.out_features, -1))) for layer, scale, part in parts]

    @torch.no_grad()
    def _measure(self, network: RuleNetwork, inputs: Tensor, group: Tensor) -> Tensor:
        """Return the mean rule's outputs (E,), and accumulate the moments of its layers' inputs."""
        delta_d, moments = inputs.new_empty(len(inputs)), []
        for number, head in enumerate(layered_heads(network.heads)):
            index = (group == number).nonzero().squeeze(1)
            x = inputs.index_select(0, index)
            layers = head.layers
            for layer in layers:
                sums = x.double().sum(dim=0), x.double().square().sum(dim=0)
                moments.append(torch.stack([torch.full_like(sums[0], len(x)), *sums]))
                x = layer(x) if layer is layers[-1] else torch.relu(layer(x))
            delta_d[index] = torch.tanh(x.squeeze(1))
        before = self._moments or [torch.zeros_like(sums) for sums in moments]
        self._moments = [old + new for old, new in zip(before, moments, strict=True)]
        return delta_d


def _all_layers(network: RuleNetwork) -> list[nn.Linear]:
    return [layer for head in layered_heads(network.heads) for layer in head.layers]


def _scale(moments: Tensor) -> LayerScale:
    """Return mu and s sqrt(F) from the sums of 1, x and x^2, (3, F); without events 0 and sqrt(F)."""
    count, total, squares = moments
    mean = total / count.clamp(min=1.0)
    spread = (squares / count.clamp(min=1.0) - mean.square()).clamp(min=0.0).sqrt()  # (F,)
    least = FLOOR * spread.square().mean().sqrt()
    spread = spread.clamp(min=least) if least > 1e-6 else torch.ones_like(spread)
    return LayerScale(mean.float(), (spread * len(spread) ** 0.5).float())
