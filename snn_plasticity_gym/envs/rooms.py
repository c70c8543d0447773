"""Workspaces of compiled loops, reused from episode to episode.

Lifetimes are distributed over threads in parts, and each part has its workspace: `part` is its first lifetime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from snn_plasticity_gym.kernels.closed_form import room_for_traces
from snn_plasticity_gym.kernels.closed_loop import Loop, Memory, room_for_memory
from snn_plasticity_gym.kernels.formula_images import FormulaRule, room_for_formula
from snn_plasticity_gym.kernels.head_images import room_for_heads
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.simulation import Spikes, room_for_spikes
from snn_plasticity_gym.kernels.tables import ClosedForm, Connections, Populations, Trail
from snn_plasticity_gym.kernels.trail import room_for_trail

Room = TypeVar("Room")


class Rooms:
    """Allocates workspaces on first use.

    Args:
        populations: Of the networks.
        connections: Of the networks.
        num_steps: Most steps of an episode.
        window: K, steps of a history.
    """

    def __init__(self, populations: Populations, connections: Connections, num_steps: int, window: int) -> None:
        self._populations, self._connections = populations, connections
        self._num_steps, self._window = num_steps, window
        self._kept: dict[tuple[str, int], Any] = {}
        self._of_rules: dict[int, tuple[FormulaRule | HeadRule, Any]] = {}

    def spikes(self, part: int) -> Spikes:
        """Return a workspace for spikes."""
        return self._once("spikes", part, lambda: room_for_spikes(self._populations, self._num_steps))

    def trail(self, part: int) -> Trail:
        """Return a workspace for gradient teaching."""
        return self._once("trail", part, lambda: room_for_trail(self._populations, self._connections, self._num_steps))

    def memory(self, part: int, loop: Loop) -> Memory:
        """Return a workspace for the state since the last action."""
        return self._once("memory", part, lambda: room_for_memory(loop))

    def of(self, part: int, way: ClosedForm | FormulaRule | HeadRule) -> Any:
        """Return a workspace of a rule."""
        num_neurons = len(self._populations.of_neuron)
        if isinstance(way, ClosedForm):
            return self._once("traces", part, lambda: room_for_traces(num_neurons))
        made_for, room = self._of_rules.get(part, (None, None))
        if made_for is not way:
            if isinstance(way, FormulaRule):
                room = room_for_formula(way, num_neurons)
            else:
                room = room_for_heads(way, self._window, num_neurons)
            self._of_rules[part] = way, room
        return room

    def _once(self, name: str, part: int, make: Callable[[], Room]) -> Room:
        key = name, part
        if key not in self._kept:
            self._kept[key] = make()
        room: Room = self._kept[key]
        return room
