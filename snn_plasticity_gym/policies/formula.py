"""Rules as formulas whose coefficients are learned: a weighted sum of a few products in the place of front and heads.

    delta_d = tanh(c_0 + sum_k c_k phi_k),    phi_k a product of factors as in `rules.distilled`

with coefficients c of each group's own. A plasticity rule as a parametric function that an optimiser adapts is as old
as Bengio, Bengio & Cloutier (Learning a synaptic learning rule, 1991); by an evolution strategy over polynomials of
traces see Confavreux et al. (A meta-learning approach to (re)discover plasticity rules that carve a desired function
into a neural network, 2020). Ten coefficients can be read, and are found in far fewer lifetimes than the hundreds of
parameters of a head.

Axes: E events, G groups, K terms.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.formula_inputs import TermLayout, formula_inputs
from snn_plasticity_gym.policies.front import FrozenFront
from snn_plasticity_gym.policies.head_inputs import HeadInputs, OwnLayer
from snn_plasticity_gym.policies.heads import RuleNetwork
from snn_plasticity_gym.rules.distilled import Factors, Term, check_factors

MAX_TERMS = 256


def default_terms(extra_names: Sequence[str]) -> list[str]:
    """Return who fires, by itself and with a trace of its partner, times the weight, times each further scalar.

    Since one of the two neurons fires, 1 and post and pre*post tell the three kinds of events apart.
    """
    fires = ("", "post", "pre*post", "post*x20", "pre*y20")
    products = itertools.product(("", *extra_names), ("", "w"), fires)
    return ["*".join(filter(None, factors[::-1])) for factors in products if any(factors)]


def read_term(text: str, extra_names: Sequence[str]) -> Factors:
    """Return the factors of a product as in "post*x20*w".

    Raises:
        ConfigError: There is no such factor.
    """
    factors = tuple(factor.strip() for factor in text.split("*"))
    check_factors(factors, extra_names)
    return factors


class FormulaHead(nn.Module):
    """Coefficients of a group's formula; at first all are 0: a rule that changes nothing.

    Args:
        num_terms: K.
    """

    def __init__(self, num_terms: int) -> None:
        super().__init__()
        self.width = num_terms
        self.coefficients = nn.Linear(num_terms, 1)
        nn.init.zeros_(self.coefficients.weight)
        nn.init.zeros_(self.coefficients.bias)

    @property
    def layers(self) -> list[nn.Linear]:
        """The only layer."""
        return [self.coefficients]

    def output(self, inputs: Tensor) -> Tensor:
        """Return the sum of each event, (E,), from its terms (E, K)."""
        return self.coefficients(inputs).squeeze(1)

    of_inputs = output


class FormulaNetwork(RuleNetwork):
    """A formula for every group; the critic sees spike histories through the front, as that of any other rule.

    Args:
        formula_terms: Products, as "post*x20*w"; none: `default_terms`.
        dt: Length of a time step, ms, by which traces are reckoned.
        num_groups: Number of formulas.
        use_kind: Whether the event's kind is part of what the critic sees; formulas know who fires.
        extra_names: Further scalars of the environment.
        hidden_sizes: Widths of the critic's hidden layers.
        channels: Output channels of the critic's front.
        kernel_sizes: Their widths.

    Raises:
        ConfigError: There is no such factor, or a term stands twice.
        ValueError: There are no such networks.
    """

    def __init__(
        self,
        formula_terms: Sequence[str],
        dt: float,
        num_groups: int,
        use_kind: bool,
        extra_names: Sequence[str],
        hidden_sizes: Sequence[int],
        channels: tuple[int, int],
        kernel_sizes: tuple[int, int],
    ) -> None:
        super().__init__(num_groups, use_kind, len(extra_names), hidden_sizes, channels, kernel_sizes)
        names = tuple(formula_terms) or tuple(default_terms(extra_names))
        check_argument("formula_terms", names, tuple[str, ...], length=(1, MAX_TERMS))
        self.terms = [read_term(name, extra_names) for name in names]
        sorted_terms = [tuple(sorted(factors)) for factors in self.terms]
        for place, factors in enumerate(sorted_terms):
            if factors in sorted_terms[:place]:
                raise ConfigError(
                    f"formula_terms must differ from each other, got {names[place]!r} twice; leave one out"
                )
        self.layout = TermLayout(self.terms, check_argument("dt", dt, float, gt=0), tuple(extra_names))
        self.heads = nn.ModuleList(FormulaHead(len(self.terms)) for _ in range(num_groups))

    def formulas(self) -> list[list[Term]]:
        """Return the terms of each group with their coefficients, the constant first."""
        formulas = []
        for head in cast(list[FormulaHead], self.heads):
            layer = head.coefficients
            numbers = [layer.bias.item(), *layer.weight[0].tolist()]
            formulas.append([Term(c, factors) for c, factors in zip(numbers, [(), *self.terms], strict=True)])
        return formulas

    def mean(self, features: Tensor, state: LocalState) -> Tensor:
        """Return the mean weight change of each event by its group's formula, in [-1, 1]: (E,)."""
        return self.answers(self.layout.dense(state), state.group)

    def frozen_front(self, history_length: int) -> None:
        """Return None: traces are all that formulas know of histories."""

    @torch.no_grad()
    def inputs(self, front: FrozenFront | None, state: LocalState) -> HeadInputs:
        """Return what the formulas see of each event: its terms."""
        return formula_inputs(self.layout, state)

    @torch.no_grad()
    def act(self, front: FrozenFront | None, state: LocalState) -> Tensor:
        """Return `mean` without gradient: (E,)."""
        layers = [head.coefficients for head in cast(list[FormulaHead], self.heads)]
        common = [[OwnLayer(layer.weight.T.unsqueeze(0), layer.bias.view(1, 1, 1))] for layer in layers]  # B = 1
        return self.inputs(None, state).by_lifetime(common, torch.tensor([len(state.pair)], device=state.pair.device))

    def _last_inputs(self, front: FrozenFront | None, state: LocalState) -> list[Callable[[Tensor], Tensor]]:
        """Return for every group the terms of some events, (M,) -> (M, K)."""
        inputs = self.layout.dense(state)
        return [lambda index: inputs.index_select(0, index)] * len(self.heads)


def new_network(
    formula_terms: Sequence[str] | None,
    dt: float,
    num_groups: int,
    use_kind: bool,
    extra_names: Sequence[str],
    hidden_sizes: Sequence[int],
    channels: tuple[int, int],
    kernel_sizes: tuple[int, int],
) -> RuleNetwork:
    """Return a `FormulaNetwork`, or a `RuleNetwork` where `formula_terms` is None; arguments are theirs."""
    if formula_terms is None:
        return RuleNetwork(num_groups, use_kind, len(extra_names), hidden_sizes, channels, kernel_sizes)
    return FormulaNetwork(formula_terms, dt, num_groups, use_kind, extra_names, hidden_sizes, channels, kernel_sizes)
