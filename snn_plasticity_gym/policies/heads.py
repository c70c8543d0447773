"""Policy heads: a perceptron for every group of synapses, and the interfaces of other kinds of heads.

Axes: E events, M some of them, P pairs of histories, F width of h, S scalars, H width of the last hidden layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.policies.front import MAX_WIDTH
from snn_plasticity_gym.policies.head_inputs import Rows
from snn_plasticity_gym.policies.spike_features import SpikeView

MAX_LAYERS = 16


class Readout(NamedTuple):
    """Last layers, one for every lifetime and head."""

    weights: Tensor  # (B, G, H)
    bias: Tensor  # (B, G)


class RuleHead(Protocol):
    """Maps the events of one group to outputs; tanh of an output is the mean weight change.

    The view is the heads' input for a batch of events: `SpikeView` or `TermView`.
    """

    def answers(self, view: Any) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to outputs, -> (M,)."""

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return one number per event, (E,), from rows of `HeadInputs`."""


class LinearHead(RuleHead, Protocol):
    """A head whose last layer is linear, so that exploration can perturb it."""

    width: int  # H

    @property
    def last(self) -> nn.Linear:
        """The last layer, (1, H)."""

    def last_inputs(self, view: Any) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to inputs of the last layer, -> (M, H)."""

    def output(self, hidden: Tensor) -> Tensor:
        """Return one number per event, (M,), from inputs of the last layer, (M, H)."""


class LayeredHead(LinearHead, Protocol):
    """A head of linear layers with ReLU between them, so that exploration can perturb all of them."""

    @property
    def layers(self) -> list[nn.Linear]:
        """All layers, the first one first."""


class Head(nn.Module):
    """A multilayer perceptron with ReLU between its layers and one output, over z = [h; scalars].

    Its first layer is linear, so the part of h is computed once per distinct pair of histories, and each event only
    adds its scalars.

    Args:
        num_features: Width of h.
        num_scalars: Number of scalars.
        hidden_sizes: Widths of the hidden layers.
        output_gain: Gain of the last layer's orthogonal initialisation; sqrt(2) in the layers before.

    Raises:
        ConfigError: There is no hidden layer, or too many or too wide ones.
    """

    def __init__(self, num_features: int, num_scalars: int, hidden_sizes: Sequence[int], output_gain: float) -> None:
        super().__init__()
        hidden_sizes = check_hidden_sizes(hidden_sizes)
        self.num_features = num_features
        self.width = hidden_sizes[-1]
        self.first = nn.Linear(num_features + num_scalars, hidden_sizes[0])
        layers = [self.first]
        self.rest = nn.Sequential()
        for width_in, width_out in zip(hidden_sizes, [*hidden_sizes[1:], 1], strict=True):
            layers.append(nn.Linear(width_in, width_out))
            self.rest.extend([nn.ReLU(inplace=True), layers[-1]])
        for layer in layers:
            nn.init.orthogonal_(layer.weight, gain=output_gain if layer is layers[-1] else math.sqrt(2))
            nn.init.zeros_(layer.bias)

    @property
    def layers(self) -> list[nn.Linear]:
        """All layers, the first one first."""
        return [self.first, *(layer for layer in self.rest if isinstance(layer, nn.Linear))]

    @property
    def last(self) -> nn.Linear:
        """The last layer, (1, H)."""
        return self.layers[-1]

    def pair_part(self, features: Tensor) -> Tensor:
        """First layer of each pair of histories without its scalars: (P, F) -> (P, hidden)."""
        return nn.functional.linear(features, self.first.weight[:, : self.num_features], self.first.bias)

    def forward(self, pair_part: Tensor, pair: Tensor, scalars: Tensor) -> Tensor:
        """Return one number per event, (E,); arguments as in `last_hidden`."""
        return self.output(self.last_hidden(pair_part, pair, scalars))

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return one number per event, (E,), from h and scalars side by side, (E, F + S)."""
        return self.output(self.rest[:-1](self.first(inputs)))

    def output(self, hidden: Tensor) -> Tensor:
        """Last layer: (E, H) -> (E,)."""
        return self.rest[-1](hidden).squeeze(1)

    def last_hidden(self, pair_part: Tensor, pair: Tensor, scalars: Tensor) -> Tensor:
        """Return the last hidden layer of each event, (E, H).

        Args:
            pair_part: Result of `pair_part`, (P, hidden).
            pair: Index of each event's pair, (E,).
            scalars: (E, S).
        """
        scalar_weight = self.first.weight[:, self.num_features :]  # (hidden, S)
        hidden = torch.addmm(pair_part.index_select(0, pair), scalars, scalar_weight.T)  # (E, hidden)
        return self.rest[:-1](hidden)

    def last_inputs(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to the last hidden layer, -> (M, H)."""
        part = self.pair_part(view.features)
        return lambda rows: self.last_hidden(part, view.pair[rows], view.scalars[rows])

    def answers(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to outputs, -> (M,)."""
        last_inputs = self.last_inputs(view)
        return lambda rows: self.output(last_inputs(rows))


def check_hidden_sizes(hidden_sizes: Any) -> tuple[int, ...]:
    """Return widths of hidden layers.

    Raises:
        ConfigError: There is no hidden layer, or too many or too wide ones.
    """
    sizes: tuple[int, ...] = check_argument(
        "hidden_sizes", hidden_sizes, tuple[int, ...], ge=1, le=MAX_WIDTH, length=(1, MAX_LAYERS)
    )
    return sizes
