"""Whole episodes of worlds by compiled closed loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.envs.compiled_networks import NOTHING, CompiledNetworks
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.ways import Frozen, Way
from snn_plasticity_gym.envs.whole_images import Arguments, decays_of
from snn_plasticity_gym.kernels.acting import act_closed_form, act_formula, act_frozen, act_heads
from snn_plasticity_gym.kernels.closed_loop import AT_ONCE, BY_FACTOR, BY_REWARD, Memory
from snn_plasticity_gym.kernels.compile import announce
from snn_plasticity_gym.kernels.formula_images import FormulaRule
from snn_plasticity_gym.kernels.simulation import Spikes
from snn_plasticity_gym.kernels.tables import InputSpikes
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.tasks.base import ClosedLoop, LivedEpisodes
from snn_plasticity_gym.utils.threads import spread

_MODULATIONS = {"none": AT_ONCE, "reward": BY_REWARD, "factor": BY_FACTOR}


class CompiledWorlds:
    """Runs whole episodes of worlds in all lifetimes of an engine, spread over threads.

    Args:
        closed_loop: Of the task.
        parts: Of the engine.
    """

    def __init__(self, closed_loop: ClosedLoop, parts: EngineParts) -> None:
        self._closed_loop, self._recorder = closed_loop, parts.recorder
        loop = closed_loop.loop
        self._num_steps = loop.window * loop.max_actions  # T
        nothing = np.zeros((1, 1), dtype=np.int64)  # the loop makes its own input spikes
        self._networks = CompiledNetworks(parts, self._num_steps, InputSpikes(nothing[0], nothing, nothing[0, :0]))
        modulation = parts.modulation
        eligibility = modulation.eligibility
        self._signals = loop.signals._replace(
            modulation=_MODULATIONS[parts.config.modulation],
            uses_surprise=modulation.uses_rewards,
            own=modulation.surprise.tables(),
            surprise=parts.scalars.reward.numpy(),
            traces=NOTHING if eligibility is None else eligibility.traces.numpy(),
            left=1.0 if eligibility is None else eligibility.left,
        )

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, LivedEpisodes]:
        """Go through an episode from its first step to its last; weights and adaptive thresholds are changed in place.

        Args:
            way: As in `CompiledImages.show`, like `pace` and `changes`.
            pace: (B,).
            changes: (4, heads).

        Returns:
            Number of events of each lifetime, int64 (B,), and the rewards of the episodes.
        """
        networks = self._networks
        streams = self._closed_loop.begin()
        loop = self._closed_loop.loop._replace(signals=self._signals)
        networks.learning.pace[:] = pace.numpy()
        networks.record.changes.fill(0)
        factors = networks.begin()
        networks.neurons.current.fill(0)
        tables = networks.frozen_tables if isinstance(way, Frozen) else networks.tables
        run, arguments = self._loop_of(way)
        announce(run)

        def work(first: int, last: int) -> None:
            own = arguments(first)
            for b in range(first, last):
                run(b, tables, loop, streams[b], *own, networks.record)

        spread(work, networks.num_lifetimes)
        networks.end(factors, networks.record.changes[None], changes)
        self._recorder.take_counts()
        return torch.from_numpy(networks.record.num_events), self._closed_loop.end()

    def _loop_of(self, way: Way) -> tuple[Callable[..., None], Arguments]:
        """Return the compiled loop of a way, and its arguments between the stream and what is kept."""
        networks = self._networks
        scalars, learning, rooms = networks.shared_scalars, networks.learning, networks.rooms
        if isinstance(way, Frozen):
            return act_frozen, lambda part: (learning, *self._memory_of(part))
        if isinstance(way, ClosedForm):
            decays = decays_of(way, self._num_steps)
            return act_closed_form, lambda part: (
                way, decays, learning, *self._memory_of(part), rooms.of(part, way)
            )  # fmt: skip
        if isinstance(way, FormulaRule):
            return act_formula, lambda part: (way, scalars, learning, *self._memory_of(part), rooms.of(part, way))
        networks.kept_outputs.begin(way)
        return act_heads, lambda part: (
            way, scalars, networks.kept_outputs.of(part), learning, *self._memory_of(part), rooms.of(part, way)
        )  # fmt: skip

    def _memory_of(self, part: int) -> tuple[Spikes, Memory]:
        rooms = self._networks.rooms
        return rooms.spikes(part), rooms.memory(part, self._closed_loop.loop)
