"""Input features of a network's heads: features of each pair of spike histories, and scalars of each event.

Axes: E events, P pairs, F width of the features h, S scalars.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import NUM_KINDS, LocalState
from snn_plasticity_gym.policies.front import FrozenFront, SpikeFront
from snn_plasticity_gym.policies.head_inputs import DenseInputs, HeadInputs


class SpikeView(NamedTuple):
    """Inputs of heads and critic for a batch of events."""

    features: Tensor  # (P, F) h
    pair: Tensor  # (E,)
    scalars: Tensor  # (E, S)


class SpikeFeatures:
    """Computes the features of events by a front.

    Args:
        front: Maps spike histories to h.
        use_kind: Whether the event's kind (one-hot) is among the scalars.
    """

    def __init__(self, front: SpikeFront, use_kind: bool) -> None:
        self.front = front
        self.use_kind = use_kind

    def of_pairs(self, state: LocalState) -> Tensor:
        """Return h of each distinct pair of histories, with gradient: (P, F)."""
        bits = unpack(state.histories, state.history_length)  # (H, K)
        return self.front.pairs(bits, state.pair_pre, state.pair_post)

    def view(self, features: Tensor, state: LocalState) -> SpikeView:
        """Return the heads' inputs for events with features h, (P, F)."""
        return SpikeView(features, state.pair, scalars(state, self.use_kind))

    def frozen(self, history_length: int) -> FrozenSpikeFeatures:
        """Return a frozen copy for acting on histories of that length, unaffected by later changes of the front."""
        return FrozenSpikeFeatures(self.front.frozen(history_length), self.use_kind)


class FrozenSpikeFeatures:
    """Computes features without gradient, by the table of a frozen front.

    Args:
        front: That table.
        use_kind: As for `SpikeFeatures`.
    """

    def __init__(self, front: FrozenFront, use_kind: bool) -> None:
        self.front = front
        self.use_kind = use_kind

    def view(self, state: LocalState) -> SpikeView:
        """Return the heads' inputs for events."""
        return SpikeView(self.front.of_state(state), state.pair, scalars(state, self.use_kind))

    @torch.no_grad()
    def inputs(self, state: LocalState) -> HeadInputs:
        """Return h and scalars of each event, concatenated."""
        features = self.front.pairs(unpack(state.histories, state.history_length), state.pair_pre, state.pair_post)
        columns = [features.index_select(0, state.pair), scalars(state, self.use_kind)]
        return DenseInputs(torch.cat(columns, dim=1), state.group)  # (E, F + S)


def scalars(state: LocalState, use_kind: bool) -> Tensor:
    """Return the scalar inputs of each event: weight, kind (if used), the environment's extras; (E, S)."""
    return torch.cat([state.weight.unsqueeze(1), other_scalars(state, use_kind)], dim=1)


def other_scalars(state: LocalState, use_kind: bool) -> Tensor:
    """Return the scalars without the weight, (E, S - 1)."""
    if not use_kind:
        return state.extras
    kind = one_hot(state.kind.long(), NUM_KINDS).to(state.weight.dtype)  # (E, 3)
    return torch.cat([kind, state.extras], dim=1)
