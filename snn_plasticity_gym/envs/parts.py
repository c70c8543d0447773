"""The parts of an engine that whole episodes are lived with."""

from __future__ import annotations

from typing import NamedTuple

from snn_plasticity_gym.config.base import PHASES, EnvironmentConfig
from snn_plasticity_gym.envs.recorder import Recorder
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars
from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise
from snn_plasticity_gym.tasks.base import Task


class EngineParts(NamedTuple):
    """What all ways through whole episodes work on."""

    network: Network  # of all lifetimes
    task: Task  # what they are in
    eligibility: Eligibility | None  # where changes are held back; None: they act at once
    recorder: Recorder  # where spikes are kept
    scalars: LocalScalars  # what synapses may know beside spikes and weight
    config: EnvironmentConfig
    surprise: RewardSurprise  # compares rewards with those before
    heeds_rewards: bool  # whether anything follows from that

    @property
    def answered_sides(self) -> tuple[bool, bool]:
        """Whether synapses answer pre spikes, and whether they answer post spikes."""
        sides = {side for phase in PHASES[self.config.event_kinds] for side in phase}
        return False in sides, True in sides
