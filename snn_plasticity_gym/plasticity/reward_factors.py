"""Third factors of networks that act: what a world pays, and how much of it was expected.

    reward      r - mean of the rewards before
    rpe         delta = r - mean of those before, or, with a critic, delta = r + gamma V(s') - V(s)
    targeted    delta for the motor neurons of the action taken, -delta for those of the others; delta elsewhere
    credited    delta; the sign of `targeted` goes to the eligibility of the window in which the action was chosen

The critic is linear in the input's activation phi, V(s) = V_0 + v . phi(s) with v = 0 at first, and learns by TD(0)
with a normalised step, v <- v + rate * delta * phi(s) / |phi(s)|^2 (Sutton & Barto, Reinforcement learning, 2018,
section 9.3). A factor that tells the neurons of the chosen action apart is that of Hasegan et al. (Training spiking
neuronal networks to perform motor control using reinforcement and evolutionary learning, 2022), there called targeted
reinforcement.

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


class Payment(NamedTuple):
    """What an action brought in R lifetimes."""

    rows: Tensor  # int64 (R,)
    reward: Tensor  # (R,)
    terminated: Tensor  # bool (R,)
    before: Tensor  # (R, F) activation of the input in which the action was chosen; only a critic reads it
    after: Tensor  # (R, F) activation that it led to
    acted: Tensor  # bool (R, N) motor neurons of the action


class Critic:
    """Predicts what a lifetime will be paid, discounted.

    Args:
        num_lifetimes: B.
        size: F.
        rate: Learning rate, over the squared norm of the input.
        gamma: Discount per action.
        start: V_0, what is predicted before anything was learned.
        device: Where tensors live.
    """

    def __init__(
        self, num_lifetimes: int, size: int, rate: float, gamma: float, start: float, device: torch.device
    ) -> None:
        self._rate, self._gamma, self._start = rate, gamma, start
        self.weights = torch.zeros(num_lifetimes, size, device=device)  # v, (B, F)

    def forget(self, row: int) -> None:
        """Begin lifetime `row` anew."""
        self.weights[row] = 0.0

    def __call__(self, payment: Payment) -> Tensor:
        """Return delta of each lifetime, (R,), and learn from it."""
        weights = self.weights[payment.rows]  # (R, F)
        now, then = (self._start + (weights * phi).sum(dim=1) for phi in (payment.before, payment.after))  # (R,) both
        delta = payment.reward + self._gamma * then.masked_fill(payment.terminated, 0.0) - now
        norm = payment.before.square().sum(dim=1).clamp(min=1e-12)  # (R,)
        self.weights[payment.rows] = weights + (self._rate * delta / norm).unsqueeze(1) * payment.before
        return delta


class RewardFactors:
    """The third factor of every neuron that synapses lead to.

    Args:
        kind: "none", "reward", "rpe", "targeted" or "credited".
        sizes: Neurons of each population that synapses lead to.
        motor: The population that acts.
        num_lifetimes: B.
        reward_window: Time constant of the mean that rewards are compared with, in rewards.
        critic: Predicts rewards; None: they are compared with their mean.
        device: Where tensors live.
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
        told = {} if kind == "none" else sizes
        self.signs: dict[str, Tensor] = {}  # (B, N) of the eligibility of the last action, by population
        if kind == "credited":
            self.signs[motor] = torch.ones(num_lifetimes, sizes[motor], device=device)
        self.values = {name: torch.zeros(num_lifetimes, size, device=device) for name, size in told.items()}  # (B, N)

    @property
    def means(self) -> Means:
        """What rewards are compared with, for compiled loops."""
        return self._surprise.tables()

    @property
    def predicts(self) -> bool:
        """Whether a critic reads the activations of payments."""
        return self.critic is not None

    def start_lifetime(self, row: int) -> None:
        """Begin lifetime `row` anew."""
        self._surprise.forget(row)
        if self.critic is not None:
            self.critic.forget(row)
        for values in self.values.values():
            values[row] = 0.0

    def begin(self, rows: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`: nothing was paid in it yet."""
        for values in self.values.values():
            values[rows] = 0.0

    def pay(self, payment: Payment) -> None:
        """Take in what an action brought."""
        if not self.values:
            return
        surprise = self._surprise(payment.rows, payment.reward)  # (R,)
        delta = surprise if self.critic is None else self.critic(payment)
        for signs in self.signs.values():
            signs[payment.rows] = torch.where(payment.acted, 1.0, -1.0)  # (R, N)
        for name, values in self.values.items():
            own = delta.unsqueeze(1)  # (R, 1)
            if self._kind == "targeted" and name == self._motor:
                own = torch.where(payment.acted, own, -own)  # (R, N)
            values[payment.rows] = own.expand(-1, values.shape[1])

    def state_dict(self) -> State:
        """Return what is carried from episode to episode."""
        critic = {} if self.critic is None else {"critic": self.critic.weights}
        surprise = {f"reward_{name}": values for name, values in self._surprise.state_dict().items()}
        return {**critic, **surprise}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        restore_all(self.state_dict(), state)
