"""The unsupervised tasks: a Diehl-Cook network rewarded for sparse, diverse and stable responses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import Unsup2Config, UnsupervisedConfig
from snn_plasticity_gym.networks.diehl_cook import EXC, INPUT, diehl_cook
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.spike_counts import SpikeCounts, count_spikes
from snn_plasticity_gym.plasticity.event_log import by_projection
from snn_plasticity_gym.rewards.unsupervised import UnsupervisedReward
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.tasks.base import Episode, Task, Verdict
from snn_plasticity_gym.utils.state import State


class UnsupervisedTask(Task):
    """Diehl-Cook network, unsupervised reward; one policy head for all synapses, or one for each projection.

    Args:
        config: Settings.
        num_lifetimes: B.
        n_input: Pixels of an image.
        num_images: Images in a lifetime's pool.
        device: Where the reward's memory lives.
    """

    input_name = INPUT
    readout = EXC

    def __init__(
        self, config: UnsupervisedConfig, num_lifetimes: int, n_input: int, num_images: int, device: torch.device
    ) -> None:
        apart = isinstance(config, Unsup2Config)
        self.groups = ["exc", "inh"] if apart else ["single"]
        self.populations, self.projections = diehl_cook(config, n_input, groups=(0, int(apart)))
        self._reward = UnsupervisedReward(config, num_lifetimes, num_images, device)
        self.rewards_events = config.credit == "neuron"

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:
        """Forget winners and responses of the lifetime before."""
        self._reward.memory.forget(row)

    def end_plasticity(self, row: int) -> None:
        """Forget the responses of the network that was still changing."""
        self._reward.memory.forget(row)

    def state_dict(self) -> State:
        """Return winners and responses."""
        return self._reward.memory.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._reward.memory.load_state_dict(state)

    def judge(self, episode: Episode, network: Network) -> Verdict:
        """Judge the E neurons' response."""
        spikes = count_spikes(episode.raster[self.readout])
        winners = winner(spikes)
        events = self._credit(episode, network, spikes, winners) if self.rewards_events else None
        result = self._reward(episode.rows, episode.places, spikes.counts, winners)
        return Verdict(result._replace(event_rewards=events), winners)

    def _credit(self, episode: Episode, network: Network, spikes: SpikeCounts, winners: Tensor) -> list[Tensor]:
        """Return the reward of each event, that of its post neuron: (E,) for each entry of `episode.written`."""
        worth = self._reward.by_neuron(episode.rows, episode.places, spikes, winners)  # (R, N)
        place = episode.places_of_lifetimes(network.num_networks)
        plastic = [projection for projection in self.projections if projection.plasticity is not None]
        rewards = []
        for entry in episode.written:
            own = torch.empty_like(entry.change)
            for _, mine, lifetime, _, post in by_projection(entry, network, plastic):  # all lead to E neurons
                own[mine] = worth[place[lifetime], post]
            rewards.append(own)
        return rewards
