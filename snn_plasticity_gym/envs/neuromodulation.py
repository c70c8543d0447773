"""What rewards do to synapses: some see how surprising they are, and changes that were held back wait for them.

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
    """Brings rewards to the synapses of B lifetimes.

    Args:
        task: Gives third factors, and the sign of what waits if it `credits_actions`.
        network: Of all lifetimes.
        scalars: What synapses may know; some of it follows rewards.
        config: `modulation`, its time constant, and that of the mean that rewards are compared with.
    """

    def __init__(self, task: Task, network: Network, scalars: LocalScalars, config: EnvironmentConfig) -> None:
        self.surprise = RewardSurprise(network.num_networks, config.reward_window, network.device)
        self.eligibility: Eligibility | None = None  # where changes are held back; None: they act at once
        if config.modulation != "none":
            self.eligibility = Eligibility(
                network, task.window, config.dt, config.tau_eligibility, task.credits_actions
            )
        self.heeds_rewards = self.eligibility is not None or scalars.of_neurons
        self._task, self._scalars = task, scalars
        self._by_factor = config.modulation == "factor"

    def start_lifetime(self, row: int) -> None:
        """Begin lifetime `row` anew: earlier rewards are forgotten."""
        self.surprise.forget(row)

    def begin(self, rows: Tensor) -> None:
        """Begin an episode in the lifetimes `rows`, int64 (R,): nothing waits."""
        if self.eligibility is not None:
            self.eligibility.begin(rows)

    def pay(self, rows: Tensor, rewards: Tensor, changes: WeightChanges) -> None:
        """Let the rewards (R,) of the lifetimes `rows` reach their synapses.

        Args:
            rows: Lifetimes, int64 (R,).
            rewards: What each was paid.
            changes: Statistics that changes of weights are added to.
        """
        if not self.heeds_rewards:
            return
        surprise = self.surprise(rows, rewards)  # (R,)
        self._scalars.pay(rows, surprise)
        if self.eligibility is not None:
            self.eligibility.credit(rows, self._task.credit())
            told = self._task.factors() if self._by_factor else None
            self.eligibility.turn_into_changes(rows, surprise, told, changes)
