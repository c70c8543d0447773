"""What differs between the environments: which network lives, and what its episodes are worth."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import EnvironmentConfig, Unsup2Config, UnsupervisedConfig
from snn_plasticity_gym.rewards.unsupervised import RewardResult, UnsupervisedReward, winner
from snn_plasticity_gym.snn.diehl_cook import EXC, INPUT, diehl_cook
from snn_plasticity_gym.snn.network import Population, Projection


class Episode(NamedTuple):
    """One image shown to each of R lifetimes, seen from its end."""

    rows: Tensor  # (R,) int64, which lifetimes
    places: Tensor  # (R,) int64, place of the image in the lifetime's pool
    labels: Tensor  # (R,) int64
    raster: dict[str, Tensor]  # bool (R, T, N), spikes of each computed population


class Verdict(NamedTuple):
    """What an episode was worth, and who won it."""

    result: RewardResult
    winners: Tensor  # (R,) int64, -1 where nobody spiked


class Task(Protocol):
    """One environment's network and reward."""

    populations: list[Population]
    projections: list[Projection]
    groups: list[str]  # names of the policy heads
    input_name: str  # population that shows the image
    readout: str  # population that answers it

    def forget(self, rows: Tensor) -> None:
        """Begin the lifetimes `rows` (R,) anew."""

    def judge(self, episode: Episode) -> Verdict:
        """Judge an episode, and remember it where the reward looks back."""


class UnsupervisedTask:
    """Diehl-Cook network, unsupervised reward; one policy head for all synapses, or one for each projection."""

    input_name = INPUT
    readout = EXC

    def __init__(
        self, config: UnsupervisedConfig, num_lifetimes: int, n_input: int, num_images: int, device: torch.device
    ) -> None:
        apart = isinstance(config, Unsup2Config)
        self.groups = ["exc", "inh"] if apart else ["single"]
        self.populations, self.projections = diehl_cook(config, n_input, groups=(0, int(apart)))
        self._reward = UnsupervisedReward(config, num_lifetimes, num_images, device)

    def forget(self, rows: Tensor) -> None:
        self._reward.memory.forget(rows)

    def judge(self, episode: Episode) -> Verdict:
        spikes = episode.raster[self.readout]  # (R, T, N)
        counts = spikes.sum(dim=1)  # (R, N)
        winners = winner(counts, first_spike=spikes.int().argmax(dim=1))
        return Verdict(self._reward(episode.rows, episode.places, counts, winners), winners)


def make_task(
    config: EnvironmentConfig, num_lifetimes: int, n_input: int, num_images: int, device: torch.device
) -> Task:
    """Build the task that a configuration describes.

    Args:
        config: Settings of one of the environments.
        num_lifetimes: B.
        n_input: Pixels of an image.
        num_images: Images in a lifetime's pool.
        device: Where the reward's memory lives.

    Raises:
        TypeError: The configuration belongs to no environment.
    """
    if isinstance(config, UnsupervisedConfig):
        return UnsupervisedTask(config, num_lifetimes, n_input, num_images, device)
    raise TypeError(f"no environment has a {type(config).__name__}; allowed: Unsup1Config, Unsup2Config")
