"""The parts of an engine that go through whole episodes."""

from __future__ import annotations

from typing import NamedTuple

from snn_plasticity_gym.config.base import PHASES, EnvironmentConfig
from snn_plasticity_gym.envs.neuromodulation import Neuromodulation
from snn_plasticity_gym.envs.recorder import Recorder
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars
from snn_plasticity_gym.tasks.base import Task


class EngineParts(NamedTuple):
    """What all ways through whole episodes work on."""

    network: Network  # of all lifetimes
    task: Task  # what they are in
    modulation: Neuromodulation  # what rewards do to synapses
    recorder: Recorder  # where spikes are kept
    scalars: LocalScalars  # what synapses may know beside spikes and weight
    config: EnvironmentConfig

    @property
    def answered_sides(self) -> tuple[bool, bool]:
        """Whether synapses answer pre spikes, and whether they answer post spikes."""
        sides = {side for phase in PHASES[self.config.event_kinds] for side in phase}
        return False in sides, True in sides
