"""The semi-supervised task: a classifier rewarded at the end of an image by the quality of its output."""

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
    """Feed-forward network, or one of winner-take-all groups; one policy head; output neuron k is class k.

    Without a third factor a synapse has no information on the label: whatever the rule, the mean accuracy of fresh
    networks is 1 / C, since the problem is symmetric under permutations of the outputs.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Of the tensors.
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
        self.scalars = ("factor",) if self._factor.active and config.show_factor else ()
        self.scalar_bounds = {"factor": self._factor.bounds}
        self.follows_steps = self._factor.active
        self._reward = ClassificationReward(config)
        self._judged = config.num_steps - config.factor_steps

    @property
    def judges_series(self) -> bool:
        """Whether several images may be judged at once: no factor follows labels or rewards."""
        return not self._factor.active and self._judged == self.num_steps

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:
        """Start new lifetimes."""
        super().start_lifetimes(rows, seeds)
        for row, seed in zip(rows, seeds, strict=True):
            self._factor.start_lifetime(row, seed.rng(TASK))

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Pass the labels to the third factor."""
        self._factor.begin(rows, labels)

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the third factor's current."""
        return self._factor.currents(rows, step)

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        """Pass the spikes to the third factor."""
        self._factor.observe(rows, step, activity)

    def state_dict(self) -> State:
        """Return the state of images, and of the third factor."""
        return {**super().state_dict(), "factor": self._factor.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        super().load_state_dict(state)
        self._factor.load_state_dict(state["factor"])

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each layer, (B, N) each."""
        return self._factor.by_population()

    def step_factor(self) -> StepFactor:
        """Return the third factor as tables."""
        return self._factor.tables

    def remedy(self, population: str) -> str:
        """Return a remedy for a silent population."""
        return super().remedy(population) if population == INPUT else "raise w_init, max_rate or num_steps"

    def judge(self, episode: Episode) -> Verdict:
        """Compute the reward from output spikes, in the steps before a temporary factor is on."""
        counted = episode.spikes_of(OUTPUT)  # (R, C)
        if self._judged < self.num_steps:
            counted = count_spikes(episode.raster[OUTPUT][:, : self._judged])
        winners = winner(counted)
        result = self._reward(counted.counts, winners, episode.labels, self._judged * self.config.dt)
        self._factor.end(episode.rows, result.reward)
        return Verdict(result, winners)
