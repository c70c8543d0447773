"""The semi-supervised task: a classifier that is told, at the end of an image, how good its answer was."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.feedforward import SemiConfig
from snn_plasticity_gym.networks.feedforward import INPUT, OUTPUT, classifier
from snn_plasticity_gym.networks.network import Network, NetworkActivity
from snn_plasticity_gym.networks.spike_counts import count_spikes
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.plasticity.third_factors import FACTORS
from snn_plasticity_gym.rewards.classification import ClassificationReward
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.tasks.base import Episode, Task, Verdict
from snn_plasticity_gym.utils.state import State


class ClassificationTask(Task):
    """Feed-forward network, one policy head; output neuron k stands for class k.

    Without a third factor a synapse knows nothing of the label, and all output neurons are alike to it: whatever the
    rule, fresh networks are right in one of C cases in the mean, since renaming the outputs changes nothing.

    Args:
        config: Settings.
        num_lifetimes: B.
        n_input: Pixels of an image.
        num_classes: C.
        device: Where tensors live.
    """

    input_name = INPUT
    readout = OUTPUT

    def __init__(
        self, config: SemiConfig, num_lifetimes: int, n_input: int, num_classes: int, device: torch.device
    ) -> None:
        self.groups = ["semi"]
        self.populations, self.projections = classifier(config, n_input, num_classes)
        self._factor = FACTORS[config.third_factor](config, self.populations, self.projections, num_lifetimes, device)
        self.extra_names = self._factor.names
        self.follows_steps = config.third_factor != "none"
        self._reward = ClassificationReward(config)
        self._judged = config.num_steps - config.factor_steps

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:
        """Begin lifetime `row` anew."""
        self._factor.start_lifetime(row, rng)

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Tell the third factor what is shown."""
        self._factor.begin(rows, labels)

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the third factor's current."""
        return self._factor.currents(rows, step)

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        """Let the third factor see what fired."""
        self._factor.observe(rows, step, activity)

    def state_dict(self) -> State:
        """Return the state of the third factor."""
        return self._factor.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._factor.load_state_dict(state)

    def extras(self, events: SynapseEvents) -> Tensor:
        """Return the third factor of each event, (E, 1), or (E, 0) if there is none."""
        return self._factor.scalars(events)

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each layer, (B, N) each."""
        return self._factor.by_population()

    def judge(self, episode: Episode, network: Network) -> Verdict:
        """Judge the output spikes of the steps before a passing factor came on."""
        spikes = episode.raster[OUTPUT][:, : self._judged]  # (R, T', C)
        counted = count_spikes(spikes)
        winners = winner(counted)
        result = self._reward(counted.counts, winners, episode.labels, spikes.shape[1])
        self._factor.end(episode.rows, result.reward)
        return Verdict(result, winners)
