"""Tables of a frozen front and its heads for compiled loops; heads are shared or per lifetime."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.front import FrozenFront
from snn_plasticity_gym.policies.head_inputs import OwnLayer
from snn_plasticity_gym.policies.heads import Head
from snn_plasticity_gym.policies.network import RuleNetwork
from snn_plasticity_gym.policies.spike_features import FrozenSpikeFeatures
from snn_plasticity_gym.rules.whole_formula import SCALARS
from snn_plasticity_gym.rules.whole_heads import WholeHeads


def shared_layers(network: RuleNetwork) -> list[list[OwnLayer]]:
    """Return the layers of each head as those of one lifetime."""
    return [
        [OwnLayer(layer.weight.T.unsqueeze(0), layer.bias.view(1, 1, -1)) for layer in cast(Head, head).layers]
        for head in network.heads
    ]


@torch.no_grad()
def whole_heads(
    shape: Architecture, front: FrozenFront, heads: Sequence[Sequence[OwnLayer]], own: bool
) -> WholeHeads | None:
    """Return the tables of a front and of heads; None: compiled loops do not support their scalars.

    Args:
        shape: Of the rule.
        front: That table.
        heads: Two or three layers of each head.
        own: Whether each lifetime has separate layers.
    """
    if not set(shape.extra_keys) <= set(SCALARS):
        return None
    table, values = front.table, front.values
    width = len(values.silent)
    first, second, third = zip(*(_three_layers(head) for head in heads), strict=True)
    inputs = _stacked([layer.weights for layer in first])  # (L * G, C2 + S, H1)
    tables = HeadRule(
        margin=table.margin,
        shift=table.shift.numpy().astype(np.int64),
        first=table.first.numpy().astype(np.int64),
        row_offset=table.row_offset.numpy().astype(np.int64),
        silent=values.silent.numpy(),
        alone=values.alone.numpy(),
        both=values.both.numpy(),
        features=np.ascontiguousarray(inputs[:, :width]),
        first_bias=_stacked([layer.bias[:, 0] for layer in first]),
        scalars=np.ascontiguousarray(inputs[:, width:]),
        rows=_stacked([layer.weights for layer in second]),
        bias=_stacked([layer.bias[:, 0] for layer in second]),
        last=_stacked([layer.weights[:, :, 0] for layer in third]),
        last_bias=_stacked([layer.bias[:, 0, 0] for layer in third]),
        use_kind=shape.use_kind,
        extras=np.array([SCALARS[name] for name in shape.extra_keys], dtype=np.int64),
        num_groups=len(heads),
        own=own,
    )
    return WholeHeads(tables, front.history_length, shape.extra_keys)


class OwnHeads:
    """A rule with per-lifetime heads over one front.

    Args:
        shape: Of the rule.
        features: Input features of the heads.
        heads: Two or three layers of each head.
    """

    def __init__(self, shape: Architecture, features: FrozenSpikeFeatures, heads: Sequence[Sequence[OwnLayer]]) -> None:
        self._shape = shape
        self._features = features
        self._heads = heads

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the weight change of each event, (E,), in [-1, 1]."""
        return self._features.inputs(events.local_state()).by_lifetime(self._heads, events.lengths)

    def whole_heads(self) -> WholeHeads | None:
        """Return front and heads for compiled loops; None: they do not support its scalars."""
        return self._whole_heads

    @functools.cached_property
    def _whole_heads(self) -> WholeHeads | None:
        return whole_heads(self._shape, self._features.front, self._heads, own=True)


def _three_layers(layers: Sequence[OwnLayer]) -> Sequence[OwnLayer]:
    """Return three layers; one hidden layer gets a second one that copies it, which ReLU allows."""
    if len(layers) == 3:
        return layers
    first, last = layers
    lifetimes, _, width = first.weights.shape
    copying = OwnLayer(torch.eye(width).expand(lifetimes, -1, -1), torch.zeros(lifetimes, 1, width))
    return first, copying, last


def _stacked(parts: Sequence[Tensor]) -> NDArray[np.float32]:
    """Stack tensors of G heads in L lifetimes, lifetime after lifetime: G of (L, ...) -> (L * G, ...)."""
    return torch.stack(list(parts), dim=1).flatten(0, 1).float().contiguous().numpy()
