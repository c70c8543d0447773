"""Rules as formulas with learned coefficients: a weighted sum of a few products in place of front and heads.

    delta_d = tanh(c_0 + sum_k c_k phi_k),    phi_k a product of factors as in `rules.distilled`

with separate coefficients c for each group. A plasticity rule as a parametric function that an optimiser adapts is as
old as Bengio, Bengio & Cloutier (Learning a synaptic learning rule, 1991); by an evolution strategy over polynomials of
traces see Confavreux et al. (A meta-learning approach to (re)discover plasticity rules that carve a desired function
into a neural network, 2020). Ten coefficients are interpretable, and are learned in far fewer lifetimes than the
hundreds of parameters of a head.

Axes: E events, M some of them, K terms.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.formula_terms import TermView
from snn_plasticity_gym.policies.head_inputs import Rows
from snn_plasticity_gym.rules.factors import Factors, check_factors

MAX_TERMS = 256


def default_terms(extra_names: Sequence[str]) -> list[str]:
    """Return spikes, alone and times a trace of the other neuron, times the weight, times each further scalar.

    Since one of the two neurons fires, 1 and post and pre*post distinguish the three kinds of events.
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


def check_terms(terms: Any, extra_names: Sequence[str]) -> tuple[str, ...]:
    """Return the validated terms of a formula; for none `default_terms`.

    Args:
        terms: Products, as "post*x20*w".
        extra_names: Further scalars of the environment.

    Raises:
        ConfigError: There is no such factor, a term is given twice, or there are too many.
    """
    terms = check_argument("formula_terms", terms, tuple[str, ...]) or tuple(default_terms(extra_names))
    terms = check_argument("formula_terms", terms, tuple[str, ...], length=(1, MAX_TERMS))
    read = [read_term(term, extra_names) for term in terms]
    products = [tuple(sorted(factors)) for factors in read]
    for place, factors in enumerate(products):
        if factors in products[:place]:
            raise ConfigError(f"formula_terms must differ from each other, got {terms[place]!r} twice; leave one out")
    return tuple("*".join(factors) for factors in read)


class FormulaHead(nn.Module):
    """Coefficients of a group's formula; initially all 0: no plasticity.

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

    @property
    def last(self) -> nn.Linear:
        """The only layer."""
        return self.coefficients

    def numbers(self) -> list[float]:
        """Return c, the constant first, K + 1 numbers."""
        return [self.coefficients.bias.item(), *self.coefficients.weight[0].tolist()]

    def output(self, inputs: Tensor) -> Tensor:
        """Return the sum of each event, (E,), from its terms (E, K)."""
        return self.coefficients(inputs).squeeze(1)

    of_inputs = output

    def last_inputs(self, view: TermView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to their terms, -> (M, K)."""
        return lambda rows: view.terms[rows]

    def answers(self, view: TermView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to outputs, -> (M,)."""
        return lambda rows: self.output(view.terms[rows])
