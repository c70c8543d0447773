"""Inputs of heads for a batch of events, and their evaluation by per-lifetime heads.

Axes: B lifetimes, G heads, E events, F inputs of a layer, O its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Rows = Tensor | slice  # indices of events in a batch: int64 (M,), or a slice


class OwnLayer(NamedTuple):
    """Per-lifetime layers of one head."""

    weights: Tensor  # (B, F, O)
    bias: Tensor  # (B, 1, O)


class HeadInputs(Protocol):
    """Inputs of heads for a batch of events."""

    def rows(self, some: slice) -> Tensor:
        """Return the inputs of the given events, (M, F)."""

    def by_lifetime(self, heads: Sequence[Sequence[OwnLayer]], lengths: Tensor) -> Tensor:
        """Return each event's output of the head of its lifetime; lifetimes are contiguous: (E,), in [-1, 1]."""


class DenseInputs:
    """Inputs as a dense matrix.

    Args:
        inputs: Of each event, (E, F).
        group: Head of each, (E,).
    """

    def __init__(self, inputs: Tensor, group: Tensor) -> None:
        self._inputs = inputs
        self._group = group

    def rows(self, some: slice) -> Tensor:
        """Return the inputs of the given events, (M, F)."""
        return self._inputs[some]

    @torch.no_grad()
    def by_lifetime(self, heads: Sequence[Sequence[OwnLayer]], lengths: Tensor) -> Tensor:
        """Return each event's output of the head of its lifetime; lifetimes are contiguous: (E,), in [-1, 1]."""
        inputs = self._inputs
        lifetime = torch.arange(len(lengths), device=inputs.device).repeat_interleave(lengths)  # (E,)
        if len(heads) == 1:
            return torch.tanh(_through(heads[0], inputs, lifetime, lengths))
        answers = inputs.new_empty(len(inputs))
        for number, layers in enumerate(heads):
            index = (self._group == number).nonzero().squeeze(1)  # (M,)
            own = lifetime.index_select(0, index)
            counts = torch.bincount(own, minlength=len(lengths))
            answers[index] = torch.tanh(_through(layers, inputs.index_select(0, index), own, counts))
        return answers


def _through(layers: Sequence[OwnLayer], inputs: Tensor, lifetime: Tensor, counts: Tensor) -> Tensor:
    """Evaluate each lifetime's layers on its events, which are contiguous: (E, F) -> (E,)."""
    if not len(inputs):
        return inputs.new_empty(0)
    width = int(counts.max())
    place = torch.arange(len(inputs), device=inputs.device) - (counts.cumsum(0) - counts).index_select(0, lifetime)
    slot = lifetime * width + place  # (E,) in a table of (B, width) events
    x = inputs.new_zeros(len(counts) * width, inputs.shape[1])
    x = x.index_copy_(0, slot, inputs).view(len(counts), width, -1)
    for number, (weights, bias) in enumerate(layers):
        x = torch.baddbmm(bias, x if number == 0 else x.relu_(), weights)  # (B, width, O)
    return x.flatten().index_select(0, slot)
