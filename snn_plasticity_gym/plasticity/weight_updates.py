"""Application of a rule's outputs to the weights.

Axes: E events, B lifetimes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snn_plasticity_gym.kernels.weights import write_weights
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Projection
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges
from snn_plasticity_gym.utils.nonfinite import NotFiniteError


class WeightWriter:
    """Updates the weights of plastic synapses within their limits, or adds the changes to eligibility traces.

    Args:
        network: The networks.
        projections: The plastic ones, in the order that `SynapseEvents.projection` counts.
        eligibility: Eligibility traces; None: changes are applied at once.
        changes: Statistics of the changes.
        loops: Whether a compiled loop or torch operations update, with equal results; None: a loop on the CPU.
    """

    def __init__(
        self,
        network: Network,
        projections: Sequence[Projection],
        eligibility: Eligibility | None,
        changes: WeightChanges,
        loops: bool | None = None,
    ) -> None:
        self._network = network
        self._eligibility = eligibility
        self._changes = changes
        plasticity = [p.plasticity for p in projections if p.plasticity is not None]
        self._scale, self._w_min, self._w_max = (  # (projections,) each
            torch.tensor([getattr(p, name) for p in plasticity], device=network.device)
            for name in ("scale", "w_min", "w_max")
        )
        loops = network.device.type == "cpu" if loops is None else loops
        self._loops = loops and eligibility is None

    @property
    def weight_range(self) -> tuple[float, float]:
        """The smallest and the largest weight that a plastic synapse can have."""
        return float(self._w_min.min()), float(self._w_max.max())

    def __call__(self, events: SynapseEvents, delta_d: Tensor, step: int, pace: Tensor | None = None) -> Tensor:
        """Set w <- clip(w + pace * eta * alpha * clip(delta_d, -1, 1), w_min, w_max), or add the change to the trace.

        Args:
            events: Events of the synapses.
            delta_d: Normalised weight changes, (E,).
            step: Time step of the episode.
            pace: Factor of the learning rates, (E,) or (); None: 1.

        Returns:
            The requested changes, pace * eta * alpha * clip(delta_d, -1, 1), (E,).

        Raises:
            NotFiniteError: A weight change is not finite; no weight was changed.
        """
        if pace is not None:  # non-finite values stay so
            delta_d = torch.where(delta_d.isfinite(), pace * delta_d.clamp(-1.0, 1.0), delta_d)
        change = self._by_loop(events, delta_d) if self._loops else self._by_torch(events, delta_d, step)
        if change is None:
            raise NotFiniteError("delta_d must be finite, got NaN or infinity; check the rule that returned it")
        return change

    def _by_torch(self, events: SynapseEvents, delta_d: Tensor, step: int) -> Tensor | None:
        if not torch.isfinite(delta_d).all():
            return None
        scale, low, high = (
            bound.index_select(0, events.projection) for bound in (self._scale, self._w_min, self._w_max)
        )
        change = scale * delta_d.clamp(-1.0, 1.0)  # (E,)
        if self._eligibility is not None:
            self._eligibility.hold(events.synapse, change, step)
            return change
        weight = (events.weight + change).clamp(low, high)
        self._network.weights[events.synapse] = weight
        self._changes.add(events.group, weight - events.weight)
        return change

    def _by_loop(self, events: SynapseEvents, delta_d: Tensor) -> Tensor | None:
        change = torch.empty_like(delta_d)
        columns = (delta_d.contiguous(), events.synapse, events.weight, events.projection, events.group)
        finite = write_weights(
            *(column.numpy() for column in columns),
            *(column.numpy() for column in (self._scale, self._w_min, self._w_max, self._network.weights)),
            self._changes.sums.numpy(),
            change.numpy(),
        )
        return change if finite else None
