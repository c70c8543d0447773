"""The unsupervised tasks: a Diehl-Cook network rewarded for sparse, diverse and stable responses."""

from __future__ import annotations

import numpy as np
import torch

from snn_plasticity_gym.config.environments import Unsup2Config, UnsupervisedConfig
from snn_plasticity_gym.envs.task import Episode, Task, Verdict
from snn_plasticity_gym.rewards.unsupervised import UnsupervisedReward
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.snn.diehl_cook import EXC, INPUT, diehl_cook
from snn_plasticity_gym.snn.network import Network
from snn_plasticity_gym.snn.spike_counts import count_spikes
from snn_plasticity_gym.state import State


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
        return Verdict(self._reward(episode.rows, episode.places, spikes.counts, winners), winners)
