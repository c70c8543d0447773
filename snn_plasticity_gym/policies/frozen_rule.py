"""A learned rule as it acts: nothing in it is learned any more, and nothing of a trainer is needed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from snn_plasticity_gym.plasticity.events import LocalState, SynapseEvents, per_event
from snn_plasticity_gym.policies.frozen_heads import FrozenHeads
from snn_plasticity_gym.policies.head_inputs import HeadInputs
from snn_plasticity_gym.policies.heads import Readout, RuleNetwork


class FrozenRule:
    """A policy's mean weight change as a rule: a snapshot, with the front's table built once.

    Args:
        network: Front and heads, which are copied.
        history_length: K.
    """

    def __init__(self, network: RuleNetwork, history_length: int) -> None:
        self.network = copy.deepcopy(network)
        self.front = network.frozen_front(history_length)
        self._heads = FrozenHeads(self.network) if FrozenHeads.possible(self.network) else None

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the mean weight change of each event, (E,)."""
        state = events.local_state()
        if self._heads is None or self.front is None:
            return self.network.act(self.front, state)
        return self._heads(self.front.of_state(state), state)

    def inputs(self, state: LocalState) -> HeadInputs:
        """Return what the heads see of each event."""
        return self.network.inputs(self.front, state)

    def explore(self, events: SynapseEvents, readout: Readout | None) -> tuple[Tensor, Tensor]:
        """Act with what `readout` adds to the last layers of every lifetime; see `RuleNetwork.explore`."""
        lifetimes = torch.arange(len(events.lengths), device=events.lengths.device)
        lifetime = per_event(lifetimes, events.lengths)  # (E,)
        return self.network.explore(self.front, events.local_state(), lifetime, readout)
