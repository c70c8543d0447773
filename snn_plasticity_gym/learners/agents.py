"""Interface of agents that learn from a third factor, and the policy gradient by backpropagation.

An agent computes its policy from inputs; an action is sampled; with the third factor of each action it writes the
ascent direction of its weights into their `grad`, for an optimiser that maximises.

Axes: B batch, S inputs, A actions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Look(NamedTuple):
    """Forward pass of an agent."""

    policy: Tensor  # action probabilities, (B, A)
    kept: Any  # intermediate values for learning


class Connections(NamedTuple):
    """Mask of the existing connections of a weight matrix."""

    mask: Tensor  # 1 for a connection, of the matrix's shape
    symmetric: bool = False  # entry (i, k) and entry (k, i) are one connection


class Agent(Protocol):
    """A network that acts and learns."""

    weights: dict[str, Tensor]  # by name
    connections: dict[str, Connections]  # of those weights that are not biases

    def look(self, inputs: Tensor) -> Look:
        """Return the policy for inputs in [0, 1], (B, S), with intermediate values for learning."""

    def judge(self, inputs: Tensor) -> Tensor:
        """Return the policy in evaluation, (B, A)."""

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """Set the `grad` of all weights to the ascent direction.

        Args:
            inputs: (B, S).
            look: Forward pass of these inputs with the present weights.
            action: Actions taken, int64 (B,).
            factor: Third factor of each action, (B,).
            entropy: Weight of the policy's entropy.
        """


def reinforce(weights: Iterable[Tensor], policy: Tensor, action: Tensor, factor: Tensor, entropy: float) -> None:
    """Set the gradients of factor * log pi(action) plus the weighted entropy, means over the batch: REINFORCE.

    Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning (1992).

    Args:
        weights: Their gradients are reset first; all that the policy depends on get gradients.
        policy: pi, action probabilities, (B, A).
        action: Actions taken, int64 (B,).
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
