"""The unsupervised tasks: a Diehl-Cook network rewarded for sparse, diverse and stable responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import Unsup2Config, UnsupervisedConfig
from snn_plasticity_gym.config.unsupervised import RECONSTRUCTION
from snn_plasticity_gym.networks.diehl_cook import EXC, INH, INPUT, INPUT_TO_EXC, diehl_cook
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.plasticity.event_log import by_projection
from snn_plasticity_gym.rewards.reconstruction import explained
from snn_plasticity_gym.rewards.unsupervised import UnsupervisedReward
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.tasks.base import Seed, places_of
from snn_plasticity_gym.tasks.image_task import Episode, ImageTask, Verdict
from snn_plasticity_gym.utils.state import State


class UnsupervisedTask(ImageTask):
    """Diehl-Cook network, unsupervised reward; one policy head for all synapses, or one for each projection.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Of the tensors.
    """

    judge_by: ClassVar[str] = "labels"
    input_name = INPUT
    readout = EXC

    def __init__(self, config: UnsupervisedConfig, num_lifetimes: int, device: torch.device) -> None:
        super().__init__(config, num_lifetimes, device)
        apart = isinstance(config, Unsup2Config)
        self.groups = ["exc", "inh"] if apart else ["single"]
        self.populations, self.projections = diehl_cook(config, self.n_input, groups=(0, int(apart)))
        self._reward = UnsupervisedReward(config, num_lifetimes, self.largest_pool, device)
        self.rewards_events = config.credit == "neuron"
        if config.reward_form == RECONSTRUCTION:
            self.winner_projection = INPUT_TO_EXC

    @property
    def judges_series(self) -> bool:
        """Whether several images may be judged at once."""
        return not self.rewards_events and self._reward.in_order

    def remedy(self, population: str) -> str:
        """Return a remedy for a silent population."""
        gains = {projection.target: projection.gain for projection in self.projections if not projection.recurrent}
        if population == EXC:
            return f"raise gain_input_exc ({gains[EXC]:g}), w_exc_init_max, max_rate or num_steps"
        if population == INH:
            return f"raise gain_exc_inh ({gains[INH]:g}), or lower inh_v_th"
        return super().remedy(population)

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:
        """Start new lifetimes: reset winners and responses."""
        super().start_lifetimes(rows, seeds)
        for row in rows:
            self._reward.memory.forget(row)

    def end_plasticity(self, row: int) -> None:
        """Reset the responses of the network recorded during plasticity."""
        super().end_plasticity(row)
        self._reward.memory.forget(row)

    def state_dict(self) -> State:
        """Return the state of images, winners and responses."""
        return {**super().state_dict(), "memory": self._reward.memory.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        super().load_state_dict(state)
        self._reward.memory.load_state_dict(state["memory"])

    def judge(self, episode: Episode) -> Verdict:
        """Compute the reward of the E neurons' response."""
        spikes = episode.spikes_of(self.readout)
        winners = winner(spikes)
        events = self._credit(episode, spikes, winners) if self.rewards_events else None
        share = self._explained(episode, winners) if self.winner_projection else None  # (R,)
        result = self._reward(episode.rows, episode.places, spikes.counts, winners, share)
        return Verdict(result if events is None else result._replace(event_rewards=events), winners)

    def _explained(self, episode: Episode, winners: Tensor) -> Tensor:
        """Return the share of each image's spikes that the winner's input weights explain, (R,)."""
        own = episode.winner_weights
        if own is None:
            weights = self.record.network.weights_of(self.winner_projection)  # (B, P, N)
            own = weights[episode.rows, :, winners.clamp(min=0)]  # (R, P)
        return explained(episode.spikes_of(self.input_name).counts, own, winners)

    def _credit(self, episode: Episode, spikes: SpikeCounts, winners: Tensor) -> list[Tensor]:
        """Return the reward of each event, that of its post neuron: (E,) for each entry of `episode.written`."""
        neuron_rewards = self._reward.by_neuron(episode.rows, episode.places, spikes, winners)  # (R, N)
        network = self.record.network
        place = places_of(episode.rows, self.num_lifetimes)
        plastic = [projection for projection in self.projections if projection.plasticity is not None]
        rewards = []
        for entry in episode.written:
            own = torch.empty_like(entry.change)
            for _, mine, lifetime, _, post in by_projection(entry, network, plastic):  # all project to E neurons
                own[mine] = neuron_rewards[place[lifetime], post]
            rewards.append(own)
        return rewards
