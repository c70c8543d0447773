"""What a network is that acts and learns from a third factor, and the policy gradient by backpropagation.

An agent looks at inputs, which gives its policy; an action is drawn; with the third factor of each action it puts the
direction in which its weights shall go into their `grad`, for an optimiser that maximises.

Axes: B batch, S inputs, A actions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from torch import Tensor


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


def reinforce(weights: Iterable[Tensor], policy: Tensor, action: Tensor, factor: Tensor, entropy: float) -> None:
    """Set the gradients of factor * log pi(action) plus the weighted entropy, means over the batch: REINFORCE.

    Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning (1992).

    Args:
        weights: Their gradients are set; others that the policy depends on get theirs, too.
        policy: pi, chances of the actions, (B, A).
        action: What was done, int64 (B,).
        factor: Third factor of each action, (B,).
        entropy: Weight of the policy's entropy.
    """
    logs = policy.clamp_min(1e-9).log()
    goal = (factor * logs.gather(1, action[:, None])[:, 0]).mean()
    if entropy:
        goal = goal - entropy * (policy * logs).sum(dim=1).mean()
    for tensor in weights:
        tensor.grad = None
    goal.backward()
