"""Exploration: deviations of a rollout's weight changes from the policy's means.

`independent` adds independent Gaussian noise to every event. One global reward over 10^5 such numbers carries next
to no signal about any of them. `rule` draws one perturbed rule for every lifetime, similar to gSDE (Raffin,
Kober & Stulp, Smooth exploration for robotic reinforcement learning, 2022, eq. 4), and the whole lifetime follows it:
on an event with last hidden layer phi in the head of its group, whose output is tanh(w . phi + b),

    delta_d = tanh(w . phi + b + sigma n),    n = sqrt(1 - c) xi . Z (phi - mu) + sqrt(c) xi_0,    xi ~ N(0, I),

with mu the mean of phi over events, and Z its whitening transform. Without mu, by far the largest part of a layer of
ReLUs, a perturbation would be mostly a common shift; c is its share. Without Z it would be mostly the one or two
functions of a synapse's state that hidden units have in common. Z gives all functions that phi can express the same
variance, but for those of less than a share r of the total, which no event could tell from nothing: with C the
covariance of phi,

    Z = (C + r tr(C) I)^(-1/2) / sqrt(k),    k = tr(C (C + r tr(C) I)^(-1)),

is symmetric (ZCA; Kessy, Lewin & Strimmer, Optimal whitening and decorrelation, 2018, eq. 6), so coordinates of xi mean
the same from rollout to rollout. k, the number of directions in use, makes the variance of n over events 1.
A perturbed rule is a rule of the same form, with another last layer. So the action is xi, one per lifetime instead of
one per event, and its log-probability is exact: `rule_search` learns from it.

Axes: B lifetimes, G heads, F width of the last hidden layer, E events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.config.values import ConfigError
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.head_inputs import OwnLayer
from snn_plasticity_gym.policies.head_registry import OwnHead, layered_heads, linear_heads
from snn_plasticity_gym.policies.heads import LayeredHead, Readout
from snn_plasticity_gym.policies.network import RuleNetwork
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State

SMALLEST = 1e-12  # total variance of phi that counts as none
RIDGE = 0.01  # r: share of the total variance below which a direction of phi is not amplified further
MEMORY = 0.5  # decay per rollout of the sums over earlier events, as the policy changes
FIRST_STEPS = 200  # time steps with events measured in the first rollout
MEASURED_STEPS = 32  # and in each later rollout
EVERY = 8  # of further steps one in so many is measured


class Exploration(Protocol):
    """Sampling of weight changes."""

    def state_dict(self) -> State:
        """Return the state that persists between rollouts, without policy and generator."""

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""

    def begin_rollout(self) -> None:
        """Update for a changed policy."""

    def perturb(self, num_lifetimes: int) -> None:
        """Draw new perturbations for all lifetimes."""

    def act(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor | None]:
        """Return the weight change of each event (E,), and its log-probability (E,) if each event is an action."""

    def whole(self, rule: FrozenRule) -> Rule | None:
        """Return the rule, with its perturbation, for running a whole episode at once.

        None: events must be processed one by one, for independent noise or for measurements.
        """


class PerturbedRules(Exploration, Protocol):
    """Exploration in rule space: an action is a whole rule, one per lifetime."""

    drawn: list[Tensor]  # xi of this rollout, (B, ...) each, normal and independent

    @property
    def ready(self) -> bool:
        """Whether lifetimes follow perturbed rules yet."""

    def move(self, network: RuleNetwork, shift: Tensor) -> None:
        """Shift the heads by `shift`, given in the coordinates of xi."""


class IndependentNoise:
    """Independent noise for every event.

    Args:
        policy: For the log-probabilities.
        generator: Source of the noise.
    """

    def __init__(self, policy: PlasticityPolicy, generator: torch.Generator) -> None:
        self._policy = policy
        self._generator = generator

    def state_dict(self) -> State:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Ignore an empty state."""

    def begin_rollout(self) -> None:
        """Do nothing."""

    def perturb(self, num_lifetimes: int) -> None:
        """Do nothing: no lasting perturbation."""

    def whole(self, rule: FrozenRule) -> None:
        """Independent noise for every event."""

    def act(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor | None]:
        """Return the weight change of each event and its log-probability, (E,) both."""
        mean = rule(events).to(self._generator.device)  # (E,)
        noise = torch.randn(len(mean), generator=self._generator, device=mean.device)
        actions = mean + self._policy.sigma * noise
        return actions, self._policy.log_prob(mean, actions)


def draw_perturbations(
    num_lifetimes: int, shape: tuple[int, ...], generator: torch.Generator, mirrored: bool, world: World
) -> Tensor:
    """Return xi of every lifetime, (B, *shape); mirrored: those of lifetimes 2 k and 2 k + 1 are opposite.

    Every process draws those of all processes, from the same stream: cheaper than communication (Salimans et
    al. 2017, section 2.1). B counts the lifetimes of all, `num_lifetimes` those of one.
    """
    num_lifetimes *= world.size
    draws = (num_lifetimes + 1) // 2 if mirrored else num_lifetimes
    xi = torch.randn(draws, *shape, generator=generator, device=generator.device)
    return torch.stack([xi, -xi], dim=1).flatten(0, 1)[:num_lifetimes] if mirrored else xi


@torch.no_grad()
def perturbed(layer: nn.Linear, weights: Tensor, bias: Tensor) -> OwnLayer:
    """Return the layer of every lifetime, with increments of its weights, (B, O, F), and biases, (B, O)."""
    return OwnLayer((layer.weight + weights).transpose(1, 2).contiguous(), (layer.bias + bias).unsqueeze(1))


class Scaling(NamedTuple):
    """Linear map from xi to a last layer."""

    centre: Tensor  # (G, F) mu
    whitening: Tensor  # (G, F, F) Z, symmetric
    common_share: float  # c

    def readout(self, xi: Tensor) -> Readout:
        """Return the last layers that add n to the heads' own, (..., G, F) and (..., G), for xi (..., G, F + 1)."""
        weights = (1.0 - self.common_share) ** 0.5 * torch.einsum("...gf,gfh->...gh", xi[..., :-1], self.whitening)
        return Readout(weights, self.common_share**0.5 * xi[..., -1] - (weights * self.centre).sum(dim=-1))


class RuleNoise:
    """Every lifetime follows a different perturbed rule. The first rollout follows the mean rule.

    Args:
        policy: Whose heads are perturbed.
        generator: Source of the perturbations.
        options: With `mirrored` lifetimes 2 k and 2 k + 1 get opposite perturbations.

    Raises:
        ConfigError: The heads have no accessible last layers.
    """

    def __init__(self, policy: PlasticityPolicy, generator: torch.Generator, options: EventOptions) -> None:
        linear_heads(policy.rule.heads)
        self._policy = policy
        self._generator = generator
        self._mirrored, self._common_share = options.mirrored, options.common_share
        self._world = World()
        self._moments: Tensor | None = None  # (G, F + 1, F + 1): sums over own events, see `RuleNetwork.explore`
        self._readout: Readout | None = None
        self._own: Rule | None = None  # the rule with these last layers
        self._steps = 0  # of this rollout that had events
        self.scaling: Scaling | None = None  # of this rollout; None before the first perturbations
        self.drawn: list[Tensor] = []  # xi of this rollout and of all processes' lifetimes, (B, G, F + 1) each

    @property
    def ready(self) -> bool:
        """Whether lifetimes follow perturbed rules yet."""
        return self.scaling is not None

    @property
    def _needed_steps(self) -> int:
        return MEASURED_STEPS if self.ready else FIRST_STEPS

    def state_dict(self) -> State:
        """Return the sums over earlier events, from which each rollout computes the rest."""
        return {"moments": self._moments}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        moments = state["moments"]
        if moments is not None and moments.ndim != 3:
            raise ConfigError(
                "this run was saved before perturbations of last layers were whitened, so it cannot go on; begin it "
                "anew, with init_policy for its policy"
            )
        self._moments = None if moments is None else moments.to(self._generator.device)

    def begin_rollout(self) -> None:
        """Scale the next perturbations by the statistics of all events so far."""
        self.drawn, self._own, self._steps = [], None, 0
        if self._world.all(self._moments is not None):
            total = self._world.all_sum(cast(Tensor, self._moments))
            self.scaling = _scaling(total, self._common_share)
            self._moments = MEMORY * total / self._world.size

    def perturb(self, num_lifetimes: int) -> None:
        """Draw a perturbation for every lifetime."""
        if self.scaling is None:
            return
        num_heads, width = self.scaling.centre.shape
        xi = draw_perturbations(num_lifetimes, (num_heads, width + 1), self._generator, self._mirrored, self._world)
        self.drawn.append(xi)
        weights, bias = self.scaling.readout(xi[self._world.rows(num_lifetimes)])
        self._readout, self._own = Readout(self._policy.sigma * weights, self._policy.sigma * bias), None

    def whole(self, rule: FrozenRule) -> Rule | None:
        """Return the rule of each lifetime, or in the first rollout the mean rule, once enough events were measured.

        None also for users' heads, whose first layers compiled loops cannot evaluate.
        """
        if self._steps < self._needed_steps:
            return None
        if not self.ready:
            return rule
        if self._own is None and not any(isinstance(head, OwnHead) for head in rule.network.heads):
            self._own = rule.of_lifetimes(self._heads(layered_heads(rule.network.heads)))
        return self._own

    def _heads(self, heads: Sequence[LayeredHead]) -> list[list[OwnLayer]]:
        """Return the layers of every lifetime; only the last ones differ."""
        weights, bias = cast(Readout, self._readout)  # (B, G, F), (B, G)
        nothing = bias.new_zeros(len(bias), 1)  # (B, 1)
        return [
            [
                *(perturbed(layer, nothing.unsqueeze(2), nothing) for layer in head.layers[:-1]),
                perturbed(head.layers[-1], weights[:, group, None], bias[:, group, None]),
            ]
            for group, head in enumerate(heads)
        ]

    def act(self, rule: FrozenRule, events: SynapseEvents) -> tuple[Tensor, Tensor | None]:
        """Return the weight change of each event, (E,); the action is the rule, so events have no log-probability."""
        measure = self._steps < self._needed_steps or self._steps % EVERY == 0
        delta_d, moments = rule.explore(events, self._readout, measure)
        self._steps += len(events.weight) > 0
        if measure:
            self._moments = moments if self._moments is None else self._moments + moments
        return delta_d, None

    @torch.no_grad()
    def move(self, network: RuleNetwork, shift: Tensor) -> None:
        """Shift each head's last layer by `shift` (G, F + 1), given in the coordinates of xi."""
        assert self.scaling is not None
        weights, bias = self.scaling.readout(shift)  # (G, F), (G,)
        for group, head in enumerate(linear_heads(network.heads)):
            head.last.weight.add_(weights[group])
            head.last.bias.add_(bias[group])


def _scaling(moments: Tensor, common_share: float) -> Scaling:
    """Return mu and Z from sums of outer products of [1, phi], (G, F + 1, F + 1).

    A head without events, or with the same phi in all of them, gets a multiple of the identity.
    """
    count = moments[:, :1, 0].clamp(min=1.0)  # (G, 1)
    centre = moments[:, 0, 1:] / count  # (G, F)
    covariance = moments[:, 1:, 1:] / count.unsqueeze(2) - centre.unsqueeze(2) * centre.unsqueeze(1)  # (G, F, F)
    variances, directions = torch.linalg.eigh(covariance)  # (G, F) ascending, (G, F, F) in columns
    total = variances.sum(dim=1, keepdim=True)  # (G, 1)
    variances = torch.where(total > SMALLEST, variances.clamp(min=0.0), 1.0)
    floored = variances + RIDGE * variances.sum(dim=1, keepdim=True)  # (G, F)
    in_use = (variances / floored).sum(dim=1, keepdim=True)  # (G, 1) k
    scaled = directions * (floored * in_use).rsqrt().unsqueeze(1)  # (G, F, F)
    return Scaling(centre.float(), (scaled @ directions.transpose(1, 2)).float(), common_share)
