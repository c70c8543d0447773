"""The networks behind a rule: one front, a head for every group of synapses, one critic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import NUM_KINDS, LocalState
from snn_plasticity_gym.policies.front import MAX_WIDTH, FrozenFront, SpikeFront
from snn_plasticity_gym.policies.head_inputs import DenseInputs, HeadInputs

EXTRA_KEYS = ("layer", "factor")  # scalars that only some environments have
MAX_GROUPS, MAX_LAYERS = 64, 16
ACTING_CHUNK = 4096  # events whose hidden layers (2 MB each) stay in cache


class Readout(NamedTuple):
    """Last layers, one for every lifetime and head."""

    weights: Tensor  # (B, G, F)
    bias: Tensor  # (B, G)


class Head(nn.Module):
    """A multilayer perceptron with ReLU between its layers and one output, over z = [h; scalars].

    Its first layer is linear, so the part of h is computed once per distinct pair of histories, and each event only
    adds its own scalars.

    Args:
        num_features: Width of h.
        num_scalars: Number of scalars.
        hidden_sizes: Widths of the hidden layers.
        output_gain: Gain of the last layer's orthogonal initialisation; sqrt(2) in the layers before.

    Raises:
        ConfigError: There is no hidden layer, or one too many or too wide.
    """

    def __init__(self, num_features: int, num_scalars: int, hidden_sizes: Sequence[int], output_gain: float) -> None:
        super().__init__()
        hidden_sizes = check_argument(
            "hidden_sizes", hidden_sizes, tuple[int, ...], ge=1, le=MAX_WIDTH, length=(1, MAX_LAYERS)
        )
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
        """Last layer: (E, F) -> (E,)."""
        return self.rest[-1](hidden).squeeze(1)

    def last_hidden(self, pair_part: Tensor, pair: Tensor, scalars: Tensor) -> Tensor:
        """Return the last hidden layer of each event, (E, F).

        Args:
            pair_part: Result of `pair_part`, (P, hidden).
            pair: Which pair each event has, (E,).
            scalars: (E, S).
        """
        scalar_weight = self.first.weight[:, self.num_features :]  # (hidden, S)
        hidden = torch.addmm(pair_part.index_select(0, pair), scalars, scalar_weight.T)  # (E, hidden)
        return self.rest[:-1](hidden)


class RuleNetwork(nn.Module):
    """Means of the weight changes, and values, of synapse events (DESIGN: state, policy, critic).

    Args:
        num_groups: Number of heads; `LocalState.group` says which one answers.
        use_kind: Whether the event's kind (pre, post, both; one-hot) is part of the state.
        num_extras: Number of further scalars of the environment (`LocalState.extras`).
        hidden_sizes: Widths of the hidden layers of heads and critic.
        channels: Output channels of the front's convolutions.
        kernel_sizes: Their widths.

    Raises:
        ValueError: There are no such networks.
    """

    def __init__(
        self,
        num_groups: int,
        use_kind: bool,
        num_extras: int,
        hidden_sizes: Sequence[int],
        channels: tuple[int, int],
        kernel_sizes: tuple[int, int],
    ) -> None:
        super().__init__()
        num_groups = check_argument("num_groups", num_groups, int, ge=1, le=MAX_GROUPS)
        use_kind = check_argument("use_kind", use_kind, bool)
        num_extras = check_argument("num_extras", num_extras, int, ge=0, le=len(EXTRA_KEYS))
        self.use_kind = use_kind
        num_scalars = 1 + NUM_KINDS * use_kind + num_extras
        self.front = SpikeFront(channels, kernel_sizes)
        width = self.front.out_features
        # A small last layer: rules begin near "no change", and actions near their noise.
        self.heads = nn.ModuleList(Head(width, num_scalars, hidden_sizes, output_gain=0.01) for _ in range(num_groups))
        self.critic = Head(width, num_scalars, hidden_sizes, output_gain=1.0)

    def features(self, state: LocalState) -> Tensor:
        """Return h of each distinct pair of histories, (P, F)."""
        bits = unpack(state.histories, state.history_length)  # (H, K)
        return self.front.pairs(bits, state.pair_pre, state.pair_post)

    def scalars(self, state: LocalState) -> Tensor:
        """Return what each event adds to h: weight, kind (where it counts), the environment's extras; (E, S)."""
        return torch.cat([state.weight.unsqueeze(1), self.other_scalars(state)], dim=1)

    def other_scalars(self, state: LocalState) -> Tensor:
        """Return the scalars but for the weight, (E, S - 1)."""
        if not self.use_kind:
            return state.extras
        kind = nn.functional.one_hot(state.kind.long(), NUM_KINDS).to(state.weight.dtype)  # (E, 3)
        return torch.cat([kind, state.extras], dim=1)

    def mean(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, tanh of its group's head, in [-1, 1]: (E,)."""
        parts = self._pair_parts(features)
        return torch.tanh(self._by_group(parts, state.pair, self.scalars(state), state.group))

    def answers(self, inputs: Tensor, group: Tensor) -> Tensor:
        """Return the mean weight change of each event, (E,), from what `inputs` gives of it, (E, F)."""
        output = inputs.new_empty(len(inputs))
        for number, head in enumerate(cast(list[Head], self.heads)):
            members = (group == number).nonzero().squeeze(1)  # (M,)
            output = output.index_copy(0, members, head.of_inputs(inputs.index_select(0, members)))
        return torch.tanh(output)

    def value(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the critic's value of each event: (E,)."""
        return self.critic(self.critic.pair_part(features), state.pair, self.scalars(state))

    def _pair_parts(self, features: Tensor) -> list[Tensor]:
        """Return the first layer's part of h for every head, (P, hidden) each."""
        return [cast(Head, head).pair_part(features) for head in self.heads]

    def _by_group(self, parts: list[Tensor], pair: Tensor, scalars: Tensor, group: Tensor) -> Tensor:
        """Send each event through the head of its group: (E,)."""
        if len(self.heads) == 1:
            return self.heads[0](parts[0], pair, scalars)
        output = scalars.new_empty(len(pair))
        for index, head in enumerate(self.heads):
            members = (group == index).nonzero().squeeze(1)  # (M,)
            answers = head(parts[index], pair.index_select(0, members), scalars.index_select(0, members))
            output = output.index_copy(0, members, answers)
        return output

    def frozen_front(self, history_length: int) -> FrozenFront | None:
        """Return the front for acting by histories of that length; None: heads need none."""
        return self.front.frozen(history_length)

    @torch.no_grad()
    def inputs(self, front: FrozenFront | None, state: LocalState) -> HeadInputs:
        """Return what the heads see of each event: h and the scalars side by side."""
        assert front is not None
        features = front.pairs(unpack(state.histories, state.history_length), state.pair_pre, state.pair_post)
        inputs = torch.cat([features.index_select(0, state.pair), self.scalars(state)], dim=1)  # (E, F)
        return DenseInputs(inputs, state.group)

    @torch.no_grad()
    def act(self, front: FrozenFront | None, state: LocalState) -> Tensor:
        """Return `mean` without gradient, by a front frozen earlier, in chunks of events that stay in cache: (E,)."""
        assert front is not None
        features = front.of_state(state)
        parts = self._pair_parts(features)
        scalars = self.scalars(state)
        means = [
            self._by_group(parts, *chunk)
            for chunk in zip(
                state.pair.split(ACTING_CHUNK),
                scalars.split(ACTING_CHUNK),
                state.group.split(ACTING_CHUNK),
                strict=True,
            )
        ]
        return torch.tanh_(torch.cat(means))

    @torch.no_grad()
    def explore(
        self, front: FrozenFront | None, state: LocalState, lifetime: Tensor, readout: Readout | None
    ) -> tuple[Tensor, Tensor]:
        """Act, each lifetime with last layers of its own.

        Args:
            front: Front frozen earlier.
            state: Local states of E events.
            lifetime: Whose they are, int64 (E,).
            readout: What is added to the heads' last layers; None: nothing.

        Returns:
            Weight changes (E,), and, summed over the events of each head, 1, phi and |phi|^2 of what its last layer
            sees, phi, float64 (G, F + 2).
        """
        delta_d = torch.empty_like(state.weight)
        heads, last_inputs = cast(list[Head], self.heads), self._last_inputs(front, state)
        moments = delta_d.new_zeros(len(heads), heads[0].width + 2, dtype=torch.float64)
        for group, (head, inputs_of) in enumerate(zip(heads, last_inputs, strict=True)):
            for index in (state.group == group).nonzero().squeeze(1).split(ACTING_CHUNK):
                hidden = inputs_of(index)  # (M, F)
                output = head.output(hidden)  # (M,)
                if readout is not None:
                    by_lifetime = torch.addmm(readout.bias[:, group], hidden, readout.weights[:, group].T)  # (M, B)
                    output += by_lifetime.gather(1, lifetime[index].unsqueeze(1)).squeeze(1)
                delta_d[index] = torch.tanh(output)
                moments[group, 0] += len(index)
                moments[group, 1:-1] += hidden.sum(dim=0)
                moments[group, -1] += hidden.square().sum()
        return delta_d, moments

    def _last_inputs(self, front: FrozenFront | None, state: LocalState) -> list[Callable[[Tensor], Tensor]]:
        """Return for every head what the last layer sees of some events, (M,) -> (M, F)."""
        assert front is not None
        features, scalars = front.of_state(state), self.scalars(state)

        def of_head(head: Head) -> Callable[[Tensor], Tensor]:
            part = head.pair_part(features)
            return lambda index: head.last_hidden(part, state.pair[index], scalars[index])

        return [of_head(head) for head in cast(list[Head], self.heads)]
