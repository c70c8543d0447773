"""The network of a rule: input features, heads, and a critic.

Axes: B lifetimes, G heads, E events, P pairs of histories, F width of h, H width of a head's last hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.architecture import PERCEPTRON, TERM_HEAD, Architecture
from snn_plasticity_gym.policies.formula import FormulaHead, read_term
from snn_plasticity_gym.policies.formula_terms import FormulaTerms
from snn_plasticity_gym.policies.front import SpikeFront
from snn_plasticity_gym.policies.head_inputs import HeadInputs, Rows
from snn_plasticity_gym.policies.head_registry import HeadFactory, OwnHead, registered_head
from snn_plasticity_gym.policies.heads import Head, LinearHead, Readout, RuleHead
from snn_plasticity_gym.policies.spike_features import SpikeFeatures, scalars
from snn_plasticity_gym.policies.term_head import HeadTerms, TermHead
from snn_plasticity_gym.rules.distilled import Term

ACTING_CHUNK = 4096  # events whose hidden layers (2 MB each) stay in cache


class FrozenFeatures(Protocol):
    """Frozen input features of heads for acting, without gradient."""

    def view(self, state: LocalState) -> Any:
        """Return the heads' view of a batch of events; see `RuleHead.answers`."""

    def inputs(self, state: LocalState) -> HeadInputs:
        """Return the heads' inputs, a row for each event."""


class RuleFeatures(Protocol):
    """Input features of heads: `SpikeFeatures`, `FormulaTerms` or `HeadTerms`."""

    def view(self, features: Tensor, state: LocalState) -> Any:
        """Return the heads' view of a batch of events with features h (P, F); see `RuleHead.answers`."""

    def frozen(self, history_length: int) -> FrozenFeatures:
        """Return a frozen copy for acting on histories of that length."""


class RuleNetwork(nn.Module):
    """Means of the weight changes, and values, of synapse events.

    Args:
        architecture: Architecture of the parts; see `new_network`.
        critic_features: Input features of the critic.
        head_features: Input features of the heads.
        heads: One for each group.
        critic: Value function of events.
    """

    def __init__(
        self,
        architecture: Architecture,
        critic_features: SpikeFeatures,
        head_features: RuleFeatures,
        heads: Iterable[nn.Module],
        critic: Head,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.critic_features, self.head_features = critic_features, head_features
        self.front = critic_features.front
        self.heads = nn.ModuleList(heads)
        self.critic = critic

    def features(self, state: LocalState) -> Tensor:
        """Return h of each distinct pair of histories, (P, F)."""
        return self.critic_features.of_pairs(state)

    def scalars(self, state: LocalState) -> Tensor:
        """Return the scalar inputs of each event, (E, S); see `Architecture.scalar_names`."""
        return scalars(state, self.architecture.use_kind)

    def mean(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, tanh of its group's head, in [-1, 1]: (E,)."""
        answers = self._answers(self.head_features.view(features, state))
        return torch.tanh(self._by_group(answers, state.group, slice(0, len(state.group))))

    def value(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the critic's value of each event: (E,)."""
        return self.critic(self.critic.pair_part(features), state.pair, self.scalars(state))

    def answers(self, inputs: Tensor, group: Tensor) -> Tensor:
        """Return the mean weight change of each event, (E,), from rows of `HeadInputs`."""
        output = inputs.new_empty(len(inputs))
        for number, head in enumerate(self._rule_heads):
            members = (group == number).nonzero().squeeze(1)  # (M,)
            output = output.index_copy(0, members, head.of_inputs(inputs.index_select(0, members)))
        return torch.tanh(output)

    def formulas(self) -> list[list[Term]]:
        """Return the terms of each group's formula with their coefficients, the constant first; empty for a network."""
        terms = self.architecture.formula_terms
        if terms is None or not self.architecture.is_formula:
            return []
        factors = [(), *(read_term(term, self.architecture.extra_keys) for term in terms)]
        return [
            [Term(c, of) for c, of in zip(head.numbers(), factors, strict=True)]
            for head in cast(list[FormulaHead], self.heads)
        ]

    @torch.no_grad()
    def act(self, features: FrozenFeatures, state: LocalState) -> Tensor:
        """Return `mean` without gradient, in chunks of events that stay in cache: (E,)."""
        answers, count = self._answers(features.view(state)), len(state.group)
        starts = range(0, max(count, 1), ACTING_CHUNK)
        chunks = [slice(start, min(start + ACTING_CHUNK, count)) for start in starts]
        return torch.tanh_(torch.cat([self._by_group(answers, state.group, chunk) for chunk in chunks]))

    @torch.no_grad()
    def explore(
        self,
        features: FrozenFeatures,
        state: LocalState,
        lifetime: Tensor,
        readout: Readout | None,
        measure: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Act with separate last layers for each lifetime; the heads are `LinearHead`s.

        Args:
            features: Frozen features.
            state: Local states of E events.
            lifetime: Lifetime of each event, int64 (E,).
            readout: Increments of the heads' last layers; None: none.
            measure: Whether to sum up moments.

        Returns:
            Weight changes (E,), and, summed over the events of each head, the outer product of [1, phi] with itself,
            phi the head's last hidden layer: float64 (G, H + 1, H + 1), zeros unless `measure`.
        """
        delta_d = torch.empty_like(state.weight)
        heads, view = cast(list[LinearHead], self.heads), features.view(state)
        moments = delta_d.new_zeros(len(heads), heads[0].width + 1, heads[0].width + 1, dtype=torch.float64)
        for group, head in enumerate(heads):
            last_inputs = head.last_inputs(view)
            for index in (state.group == group).nonzero().squeeze(1).split(ACTING_CHUNK):
                hidden = last_inputs(index)  # (M, H)
                output = head.output(hidden)  # (M,)
                if readout is not None:
                    by_lifetime = torch.addmm(readout.bias[:, group], hidden, readout.weights[:, group].T)  # (M, B)
                    output += by_lifetime.gather(1, lifetime[index].unsqueeze(1)).squeeze(1)
                delta_d[index] = torch.tanh(output)
                if measure:
                    rows = torch.cat([torch.ones_like(hidden[:, :1]), hidden], dim=1).double()  # (M, H + 1)
                    moments[group] += rows.T @ rows
        return delta_d, moments

    @property
    def _rule_heads(self) -> list[RuleHead]:
        return cast(list[RuleHead], self.heads)

    def _answers(self, view: Any) -> list[Callable[[Rows], Tensor]]:
        return [head.answers(view) for head in self._rule_heads]

    def _by_group(self, answers: Sequence[Callable[[Rows], Tensor]], group: Tensor, chunk: slice) -> Tensor:
        """Return the output of each event of a chunk by the head of its group: (chunk,)."""
        if len(answers) == 1:
            return answers[0](chunk)
        own = group[chunk]
        output = self.critic.first.weight.new_empty(len(own))
        for number, answer in enumerate(answers):
            members = (own == number).nonzero().squeeze(1)  # (M,)
            output = output.index_copy(0, members, answer(members + chunk.start))
        return output


def new_network(architecture: Architecture, own_head: HeadFactory | None = None) -> RuleNetwork:
    """Return a network with fresh parameters.

    Args:
        architecture: Its architecture.
        own_head: Factory of the heads named by `architecture.head`; None: as registered by that name.

    Raises:
        ConfigError: There is no such network.
    """
    spikes = SpikeFeatures(SpikeFront(architecture.channels, architecture.kernel_sizes), architecture.use_kind)
    width, num_scalars = spikes.front.out_features, len(architecture.scalar_names)
    sizes, groups = architecture.hidden_sizes, range(architecture.num_groups)
    # A small last layer: rules start near "no change", and actions near their noise. These heads are drawn for rules of
    # every form, so that front and critic of one seed have the same initial parameters for all kinds of heads.
    heads: list[nn.Module] = [Head(width, num_scalars, sizes, output_gain=0.01) for _ in groups]
    critic = Head(width, num_scalars, sizes, output_gain=1.0)
    sees: RuleFeatures = spikes
    if architecture.formula_terms is not None:
        factors = [read_term(term, architecture.extra_keys) for term in architecture.formula_terms]
        sees = terms = FormulaTerms(factors, architecture.dt, architecture.extra_keys)
        heads = [FormulaHead(len(factors)) for _ in groups]
        if architecture.head == TERM_HEAD:
            sees, heads = HeadTerms(terms), [TermHead(len(factors), sizes, output_gain=0.01) for _ in groups]
    elif architecture.head != PERCEPTRON:
        factory = own_head or registered_head(architecture.head)
        heads = [OwnHead(architecture.head, factory, width, num_scalars) for _ in groups]
    return RuleNetwork(architecture, spikes, sees, heads, critic)
