"""Effects of rewards on synapses: surprise as a local scalar, and weight changes by eligibility traces.

Axes: B lifetimes, R lifetimes of one call.
"""

from __future__ import annotations

from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars
from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges
from snn_plasticity_gym.tasks.base import Task


class Neuromodulation:
    """Applies rewards to the synapses of B lifetimes.

    Args:
        task: Source of third factors, and of the sign of eligibility if it `credits_actions`.
        network: Of all lifetimes.
        scalars: Local scalars of synapses; some depend on rewards.
        config: `modulation`, its time constant, and that of the baseline of rewards.
    """

    def __init__(self, task: Task, network: Network, scalars: LocalScalars, config: EnvironmentConfig) -> None:
        self.surprise = RewardSurprise(network.num_networks, config.reward_window, network.device)
        self.eligibility: Eligibility | None = None  # None: weight changes are immediate
        if config.modulation != "none":
            self.eligibility = Eligibility(
                network, task.window, config.dt, config.tau_eligibility, task.credits_actions
            )
        self.uses_rewards = self.eligibility is not None or scalars.of_neurons
        self._task, self._scalars = task, scalars
        self._by_factor = config.modulation == "factor"

    def start_lifetime(self, row: int) -> None:
        """Start a new lifetime `row`: the baseline of rewards is reset."""
        self.surprise.forget(row)

    def begin(self, rows: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`, int64 (R,): eligibility is 0."""
        if self.eligibility is not None:
            self.eligibility.begin(rows)

    def apply_rewards(self, rows: Tensor, rewards: Tensor, changes: WeightChanges) -> None:
        """Apply the rewards (R,) of the lifetimes `rows` to their synapses.

        Args:
            rows: Lifetimes, int64 (R,).
            rewards: Reward of each.
            changes: Statistics that changes of weights are added to.
        """
        if not self.uses_rewards:
            return
        surprise = self.surprise(rows, rewards)  # (R,)
        self._scalars.pay(rows, surprise)
        if self.eligibility is not None:
            self.eligibility.credit(rows, self._task.credit())
            factors = self._task.factors() if self._by_factor else None
            self.eligibility.turn_into_changes(rows, surprise, factors, changes)
