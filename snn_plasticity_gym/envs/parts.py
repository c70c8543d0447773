"""The parts of an engine for whole episodes."""

from __future__ import annotations

from typing import NamedTuple

from snn_plasticity_gym.config.base import PHASES, EnvironmentConfig
from snn_plasticity_gym.envs.neuromodulation import Neuromodulation
from snn_plasticity_gym.envs.recorder import Recorder
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars
from snn_plasticity_gym.tasks.base import Task


class EngineParts(NamedTuple):
    """Parts used by all simulations of whole episodes."""

    network: Network  # of all lifetimes
    task: Task  # of all lifetimes
    modulation: Neuromodulation  # effects of rewards on synapses
    recorder: Recorder  # record of spikes
    scalars: LocalScalars  # local scalars besides spikes and weight
    config: EnvironmentConfig

    @property
    def event_sides(self) -> tuple[bool, bool]:
        """Whether pre spikes are events, and whether post spikes are."""
        sides = {side for phase in PHASES[self.config.event_kinds] for side in phase}
        return False in sides, True in sides
