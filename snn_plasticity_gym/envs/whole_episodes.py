"""Whole episodes without a list of events: in compiled loops, or elsewhere by operations on all synapses at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.dense_images import DenseImages, DenseWay, dense_way_of
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.ways import Way, way_of
from snn_plasticity_gym.envs.whole_images import CompiledImages
from snn_plasticity_gym.envs.whole_worlds import CompiledWorlds
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.base import LivedEpisodes, Task


class WholeEpisodes:
    """Simulates whole episodes of all lifetimes of an engine at once.

    Args:
        play: Advances the networks by a time step, without lists of spikes.
        parts: Of the engine.
    """

    def __init__(self, play: Callable[[int], NetworkActivity], parts: EngineParts) -> None:
        self._play, self._parts = play, parts
        self.loops = parts.network.device.type == "cpu"  # the only memory accessible to compiled loops

    def __getstate__(self) -> dict[str, Any]:
        """Leave views of this engine's tensors out of copies: a copy makes its own."""
        return {name: part for name, part in vars(self).items() if name not in ("images", "_compiled")}

    @functools.cached_property
    def images(self) -> CompiledImages:
        """Compiled loops over images, of an open-loop task on the CPU."""
        return CompiledImages(self._parts)

    @functools.cached_property
    def _compiled(self) -> CompiledImages | CompiledWorlds:
        loop = self._parts.task.closed_loop()
        return CompiledWorlds(loop, self._parts) if loop else self.images

    @functools.cached_property
    def _dense(self) -> DenseImages:
        return DenseImages(self._play, self._parts)

    def way(self, rule: Rule) -> Way | DenseWay | None:
        """Return how to apply a rule to whole episodes; None: it must be called with events."""
        return way_of(*self._arguments(rule)) if self.loops else dense_way_of(*self._arguments(rule))

    def compiled_way(self, rule: Rule) -> Way | None:
        """Return how compiled loops apply a rule to whole episodes; None: they do not."""
        return way_of(*self._arguments(rule)) if self.loops else None

    def _arguments(self, rule: Rule) -> tuple[Rule, EnvironmentConfig, Task, Sequence[str], Tensor]:
        parts = self._parts
        return rule, parts.config, parts.task, parts.scalars.names, parts.network.non_plastic

    def run(self, rule: Rule, pace: Tensor, changes: Tensor) -> tuple[Tensor, LivedEpisodes | None] | None:
        """Simulate an episode from its first step to its last; weights and adaptive thresholds change in place.

        Args:
            rule: The rule.
            pace: Factor of the learning rates by the age of each lifetime, float32 (B,).
            changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.

        Returns:
            Number of events of each lifetime, int64 (B,), and of a closed loop its rewards; None, and nothing is
            done: the rule must be called with events.
        """
        if self.loops:
            way = way_of(*self._arguments(rule))
            return None if way is None else self._compiled.show(way, pace, changes)
        dense = dense_way_of(*self._arguments(rule))
        return None if dense is None else self._dense.show(dense, pace, changes)
