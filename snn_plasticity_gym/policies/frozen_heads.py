"""Fast heads for acting on the CPU: most events by the piecewise linear function of their pair, others by layers.

Axes: E events, P pairs, F width of h, H1 and H2 neurons of the two hidden layers.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.heads import (
    EventsByPair,
    HeadArrays,
    HeadEvents,
    Lines,
    by_pair,
    evaluate_lines,
    first_layer,
    last_layer,
)
from snn_plasticity_gym.kernels.lines import most_lines
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.heads import Head
from snn_plasticity_gym.policies.network import ACTING_CHUNK, RuleNetwork
from snn_plasticity_gym.policies.spike_features import other_scalars


class FrozenHeads:
    """Snapshot of a network's heads.

    Args:
        network: On the CPU, in single precision, with one or two hidden layers in each head (see `possible`).
    """

    def __init__(self, network: RuleNetwork) -> None:
        self._network = network
        self._heads = [_arrays(cast(Head, head)) for head in network.heads]
        self._single = [HeadArrays(*(np.float32(part) for part in head)) for head in self._heads]
        self._room = Lines(*np.empty((3, most_lines(*self._heads[0].rows.shape))))

    @staticmethod
    def possible(network: RuleNetwork) -> bool:
        """Whether a network can act this way; otherwise layer by layer."""
        head = network.heads[0]
        if not isinstance(head, Head) or len(head.layers) > 3:
            return False
        weight = head.first.weight
        return weight.device.type == "cpu" and weight.dtype == torch.float32

    @torch.no_grad()
    def __call__(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, (E,), from h of each pair, (P, F)."""
        output = torch.empty_like(state.weight)  # (E,)
        events = HeadEvents(
            pair=state.pair.numpy(),
            group=state.group.numpy(),
            weight=state.weight.numpy(),
            others=other_scalars(state, self._network.architecture.use_kind).contiguous().numpy(),
        )
        sorted_events = EventsByPair(*by_pair(events, len(features)))
        for number, (double, single) in enumerate(zip(self._heads, self._single, strict=True)):
            part = cast(Head, self._network.heads[number]).pair_part(features).numpy()  # (P, H1)
            left = evaluate_lines(number, sorted_events, events, part, double, self._room, output.numpy())
            hidden = torch.empty(min(len(left), ACTING_CHUNK), single.rows.shape[0])
            second = torch.empty(len(hidden), single.rows.shape[1])
            rows = torch.from_numpy(single.rows)
            for start in range(0, len(left), ACTING_CHUNK):
                some = left[start : start + ACTING_CHUNK]
                first_layer(some, events, part, single.scalars, hidden.numpy())
                torch.mm(hidden[: len(some)], rows, out=second[: len(some)])
                last_layer(some, second.numpy(), single, output.numpy())
        return torch.tanh_(output)


def _arrays(head: Head) -> HeadArrays:
    """Return the layers; one hidden layer gets a second one that copies it, which ReLU allows."""
    _, *second, last = head.layers
    return HeadArrays(
        scalars=_double(head.first.weight[:, head.num_features :].T),
        rows=_double(second[0].weight.T) if second else np.eye(head.width),
        bias=_double(second[0].bias) if second else np.zeros(head.width),
        last=_double(last.weight[0]),
        last_bias=last.bias.item(),
    )


def _double(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().double().numpy())
