"""The semi-supervised task: a classifier that is told, at the end of an image, how good its answer was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from snn_plasticity_gym.config.feedforward import SemiConfig
from snn_plasticity_gym.config.groups import RWTA
from snn_plasticity_gym.kernels.tables import StepFactor
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.feedforward import INPUT, OUTPUT, classifier, group_classifier
from snn_plasticity_gym.networks.spike_counts import count_spikes
from snn_plasticity_gym.plasticity.third_factors import FACTORS
from snn_plasticity_gym.rewards.classification import ClassificationReward
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.tasks.base import TASK, Seed
from snn_plasticity_gym.tasks.image_task import Episode, ImageTask, Verdict
from snn_plasticity_gym.utils.state import State


class ClassificationTask(ImageTask):
    """Feed-forward network, or one of winner-take-all groups; one policy head; output neuron k stands for class k.

    Without a third factor a synapse knows nothing of the label, and all output neurons are alike to it: whatever the
    rule, fresh networks are right in one of C cases in the mean, since renaming the outputs changes nothing.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Where tensors live.
    """

    judge_by: ClassVar[str] = "classifier"
    input_name = INPUT
    readout = OUTPUT

    def __init__(self, config: SemiConfig, num_lifetimes: int, device: torch.device) -> None:
        super().__init__(config, num_lifetimes, device)
        self.groups = ["semi"]
        described = group_classifier if config.network == RWTA else classifier
        self.populations, self.projections = described(config, self.n_input, self.dataset.num_classes)
        self._factor = FACTORS[config.third_factor](config, self.populations, self.projections, num_lifetimes, device)
        self.scalars = ("factor",) if self._factor.tells else ()
        self.scalar_bounds = {"factor": self._factor.bounds}
        self.follows_steps = self._factor.tells
        self._reward = ClassificationReward(config)
        self._judged = config.num_steps - config.factor_steps

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:
        """Begin lifetimes anew."""
        super().start_lifetimes(rows, seeds)
        for row, seed in zip(rows, seeds, strict=True):
            self._factor.start_lifetime(row, seed.rng(TASK))

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
        """Return what is shown, and the state of the third factor."""
        return {**super().state_dict(), "factor": self._factor.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        super().load_state_dict(state)
        self._factor.load_state_dict(state["factor"])

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each layer, (B, N) each."""
        return self._factor.by_population()

    def step_factor(self) -> StepFactor:
        """Return the third factor as tables."""
        return self._factor.tables

    def remedy(self, population: str) -> str:
        """Return what helps where a population is silent."""
        return super().remedy(population) if population == INPUT else "raise w_init, max_rate or num_steps"

    def judge(self, episode: Episode) -> Verdict:
        """Judge the output spikes of the steps before a passing factor came on."""
        counted = episode.spikes_of(OUTPUT)  # (R, C)
        if self._judged < self.num_steps:
            counted = count_spikes(episode.raster[OUTPUT][:, : self._judged])
        winners = winner(counted)
        result = self._reward(counted.counts, winners, episode.labels, self._judged * self.config.dt)
        self._factor.end(episode.rows, result.reward)
        return Verdict(result, winners)
