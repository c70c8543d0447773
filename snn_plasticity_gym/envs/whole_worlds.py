"""Whole episodes of closed loops by compiled loops, as `whole_images.py` does for open ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.whole_images import NOTHING, Arguments, CompiledImages, Frozen, Way, decays_of
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


class CompiledWorlds(CompiledImages):
    """Lets all lifetimes of an engine act in their worlds, spread over threads.

    Args:
        closed_loop: Of the task.
        parts: Of the engine.
    """

    def __init__(self, closed_loop: ClosedLoop, parts: EngineParts) -> None:
        super().__init__(parts)
        self._closed_loop = closed_loop
        loop = closed_loop.loop
        self._num_steps = loop.window * loop.max_actions  # T
        # (T,) one window after the other
        self._learning = self._learning._replace(keep=np.resize(self._learning.keep, self._num_steps))
        modulation = parts.modulation
        eligibility = modulation.eligibility
        self._payment = loop.payment._replace(
            modulation=_MODULATIONS[parts.config.modulation],
            heeds=modulation.heeds_rewards,
            own=modulation.surprise.tables(),
            surprise=parts.scalars.reward.numpy(),
            traces=NOTHING if eligibility is None else eligibility.traces.numpy(),
            left=1.0 if eligibility is None else eligibility.left,
        )
        nothing = np.zeros((1, 1), dtype=np.int64)  # the loop makes inputs of its own
        self._set_lives(self._lives._replace(inputs=InputSpikes(nothing[0], nothing, nothing[0, :0])))

    def show(self, way: Way, pace: Tensor, changes: Tensor) -> tuple[Tensor, LivedEpisodes | None]:
        """Go through an episode from its first step to its last; see `CompiledImages.show`."""
        streams = self._closed_loop.begin()
        loop = self._closed_loop.loop._replace(payment=self._payment)
        told = self._begin(pace)
        self._neurons.current.fill(0)
        lives = self._frozen_lives if isinstance(way, Frozen) else self._lives
        run, arguments = self._loop_of(way)
        announce(run)

        def work(first: int, last: int) -> None:
            own = arguments(first)
            for b in range(first, last):
                run(b, lives, loop, streams[b], *own, self._shown)

        spread(work, self._shape[0])
        self._end(told, changes)
        return torch.from_numpy(self._shown.num_events), self._closed_loop.end()

    def _loop_of(self, way: Way) -> tuple[Callable[..., None], Arguments]:
        """Return the compiled loop of a way, and its arguments between the stream and what is kept."""
        around, learning = self._around, self._learning
        if isinstance(way, Frozen):
            return act_frozen, lambda part: (learning, *self._memory_of(part))
        if isinstance(way, ClosedForm):
            decays = decays_of(way, self._num_steps)
            return act_closed_form, lambda part: (
                way, decays, learning, *self._memory_of(part), self._rooms.of(part, way)
            )  # fmt: skip
        if isinstance(way, FormulaRule):
            return act_formula, lambda part: (way, around, learning, *self._memory_of(part), self._rooms.of(part, way))
        self._kept.begin(way)
        return act_heads, lambda part: (
            way, around, self._kept.of(part), learning, *self._memory_of(part), self._rooms.of(part, way)
        )  # fmt: skip

    def _memory_of(self, part: int) -> tuple[Spikes, Memory]:
        return self._rooms.spikes(part), self._rooms.memory(part, self._closed_loop.loop)
