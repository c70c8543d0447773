"""Third factors of networks that act: reward and reward prediction error.

    reward      r - mean of the rewards before
    rpe         delta = r - mean of those before, or, with a critic, delta = r + gamma V(s') - V(s)
    targeted    delta for the motor neurons of the action taken, -delta for those of the others; delta elsewhere
    credited    delta; the sign of `targeted` goes to the eligibility of the window in which the action was chosen

The critic is linear in the input's activation phi, V(s) = V_0 + v . phi(s) with v = 0 at first, and learns by TD(0)
with a normalised step, v <- v + rate * delta * phi(s) / |phi(s)|^2 (Sutton & Barto, Reinforcement learning, 2018,
section 9.3). A sum over the fields of single observations cannot distinguish a cart near the end of the track that
leaves it from one that returns; with the products of pairs of inputs as further features (ibid., section 9.5.1) it can.
A factor with opposite sign for neurons of other actions is that of Hasegan et al. (Training spiking neuronal networks
to perform motor control using reinforcement and evolutionary learning, 2022), there called targeted reinforcement.

Axes: B lifetimes, R lifetimes of one call, N neurons, F inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.kernels.closed_loop import Means
from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise
from snn_plasticity_gym.utils.state import State, restore_all


class Transition(NamedTuple):
    """Reward and input before and after an action, in R lifetimes."""

    rows: Tensor  # int64 (R,)
    reward: Tensor  # (R,)
    terminated: Tensor  # bool (R,)
    before: Tensor  # (R, F) input activation before the action; only a critic reads it
    after: Tensor  # (R, F) input activation after the action
    acted: Tensor  # bool (R, N) motor neurons of the action


class Critic:
    """Linear critic: predicts the discounted future reward of a lifetime.

    Args:
        num_lifetimes: B.
        size: F.
        rate: Learning rate, divided by the squared norm of the input.
        gamma: Discount factor per action.
        start: V_0, the initial prediction.
        device: Of the tensors.
        pairs: Whether phi has the products of the activations of all pairs of inputs, too.
    """

    def __init__(
        self,
        num_lifetimes: int,
        size: int,
        rate: float,
        gamma: float,
        start: float,
        device: torch.device,
        pairs: bool = False,
    ) -> None:
        self._rate, self._gamma, self._start = rate, gamma, start
        # int64 (2, F (F - 1) / 2) the inputs of each pair: 0 and 1, 0 and 2, ..., 1 and 2, ...
        self._pairs = torch.triu_indices(size, size, offset=1, device=device) if pairs else None
        features = size if self._pairs is None else size + self._pairs.shape[1]
        self.weights = torch.zeros(num_lifetimes, features, device=device)  # v, (B, features)

    def forget(self, row: int) -> None:
        """Reset lifetime `row`."""
        self.weights[row] = 0.0

    def __call__(self, transition: Transition) -> Tensor:
        """Return delta of each lifetime, (R,), and update the critic."""
        weights = self.weights[transition.rows]  # (R, features)
        before, after = self._features(transition.before), self._features(transition.after)  # (R, features) both
        now, then = (self._start + (weights * phi).sum(dim=1) for phi in (before, after))  # (R,) both
        delta = transition.reward + self._gamma * then.masked_fill(transition.terminated, 0.0) - now
        norm = before.square().sum(dim=1).clamp(min=1e-12)  # (R,)
        self.weights[transition.rows] = weights + (self._rate * delta / norm).unsqueeze(1) * before
        return delta

    def _features(self, activation: Tensor) -> Tensor:
        """Return phi, (R, features), of the activation of the inputs, (R, F)."""
        if self._pairs is None:
            return activation
        first, second = self._pairs
        return torch.cat([activation, activation[:, first] * activation[:, second]], dim=1)


class RewardFactors:
    """Third factors of all postsynaptic neurons.

    Args:
        kind: "none", "reward", "rpe", "targeted" or "credited".
        sizes: Neurons of each postsynaptic population.
        motor: The motor population.
        num_lifetimes: B.
        reward_window: Time constant of the mean reward, in rewards.
        critic: Predicts rewards; None: the prediction is their mean.
        device: Of the tensors.
    """

    def __init__(
        self,
        kind: str,
        sizes: Mapping[str, int],
        motor: str,
        num_lifetimes: int,
        reward_window: float,
        critic: Critic | None,
        device: torch.device,
    ) -> None:
        self._kind, self._motor = kind, motor
        self._surprise = RewardSurprise(num_lifetimes, reward_window, device)
        self.critic = critic if kind in ("rpe", "targeted", "credited") else None
        populations = {} if kind == "none" else sizes
        self.signs: dict[str, Tensor] = {}  # (B, N) of the eligibility of the last action, by population
        if kind == "credited":
            self.signs[motor] = torch.ones(num_lifetimes, sizes[motor], device=device)
        self.values = {
            name: torch.zeros(num_lifetimes, size, device=device) for name, size in populations.items()
        }  # (B, N)

    @property
    def means(self) -> Means:
        """Mean rewards, for compiled loops."""
        return self._surprise.tables()

    @property
    def predicts(self) -> bool:
        """Whether a critic reads the activations of transitions."""
        return self.critic is not None

    def start_lifetime(self, row: int) -> None:
        """Reset lifetime `row`."""
        self._surprise.forget(row)
        if self.critic is not None:
            self.critic.forget(row)
        for values in self.values.values():
            values[row] = 0.0

    def begin(self, rows: Tensor) -> None:
        """Start an episode in the lifetimes `rows`: reset their factors."""
        for values in self.values.values():
            values[rows] = 0.0

    def update(self, transition: Transition) -> None:
        """Update the factors after an action."""
        if not self.values:
            return
        surprise = self._surprise(transition.rows, transition.reward)  # (R,)
        delta = surprise if self.critic is None else self.critic(transition)
        for signs in self.signs.values():
            signs[transition.rows] = torch.where(transition.acted, 1.0, -1.0)  # (R, N)
        for name, values in self.values.items():
            own = delta.unsqueeze(1)  # (R, 1)
            if self._kind == "targeted" and name == self._motor:
                own = torch.where(transition.acted, own, -own)  # (R, N)
            values[transition.rows] = own.expand(-1, values.shape[1])

    def state_dict(self) -> State:
        """Return the state carried between episodes."""
        critic = {} if self.critic is None else {"critic": self.critic.weights}
        surprise = {f"reward_{name}": values for name, values in self._surprise.state_dict().items()}
        return {**critic, **surprise}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        restore_all(self.state_dict(), state)
