"""Terms of formulas for batches of events: written out where needed, otherwise summed by a compiled loop.

Axes: E events, H histories, G groups, K terms, M products of scalars, S scalars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.formula import EventColumns, FormulaTables, TraceProducts, sum_terms
from snn_plasticity_gym.plasticity.events import KIND_POST, KIND_PRE, NUM_KINDS, LocalState, SynapseEvents
from snn_plasticity_gym.policies.head_inputs import DenseInputs, HeadInputs, OwnLayer
from snn_plasticity_gym.rules.distilled import FactorTable
from snn_plasticity_gym.rules.factors import Factors, time_constant
from snn_plasticity_gym.rules.traces import Traces
from snn_plasticity_gym.rules.whole_formula import WholeFormula

Array = NDArray[Any]


class TermView(NamedTuple):
    """A batch of events as terms."""

    terms: Tensor  # (E, K)


class FormulaTerms:
    """Computes the terms of a formula from events, without parameters.

    Args:
        terms: Factors of each, validated.
        dt: Length of a time step, ms, for the traces.
        extra_names: Further scalars of the environment.
    """

    def __init__(self, terms: Sequence[Factors], dt: float, extra_names: Sequence[str]) -> None:
        self.terms, self.dt, self.extra_names = terms, dt, extra_names
        silent = {"pre": KIND_POST, "post": KIND_PRE}  # kind of event without a spike of that neuron
        counts = [tuple(Counter(term)[name] for name in extra_names) for term in terms]
        products = list(dict.fromkeys([(0,) * len(extra_names), *counts]))
        self.tables = FormulaTables(
            fires=np.array(
                [[all(silent.get(name) != kind for name in term) for term in terms] for kind in range(NUM_KINDS)]
            ),
            power=np.array([term.count("w") for term in terms]),
            product=np.array([products.index(count) for count in counts]),
            exponents=np.array(products, dtype=np.int64).reshape(len(products), len(extra_names)),
        )

    def view(self, features: Tensor, state: LocalState) -> TermView:
        """Return the terms of each event; h of its pair of histories, (P, F), is for the critic only."""
        del features
        return TermView(self.dense(state))

    def frozen(self, history_length: int) -> FrozenTerms:
        """Return a frozen copy for acting; histories may have any length."""
        del history_length
        return FrozenTerms(self)

    def dense(self, state: LocalState) -> Tensor:
        """Return the terms of each event, (E, K)."""
        table = FactorTable(state, self.dt, self.extra_names)
        values = state.weight.new_empty(len(state.weight), len(self.terms))
        for place, factors in enumerate(self.terms):
            values[:, place] = table(factors)
        return values

    def whole_formula(self, coefficients: Array) -> WholeFormula:
        """Return the formula with coefficients as in `sums`, for whole episodes."""
        return WholeFormula(tuple(self.terms), coefficients, self.dt, tuple(self.extra_names), squashed=True)

    def sums(self, coefficients: Array, state: LocalState, lengths: Tensor) -> Tensor:
        """Return the formula's sum of each event by a compiled loop, (E,).

        Args:
            coefficients: c of every lifetime and group, c_0 last, float64 (L, G, K + 1); L = 1: shared.
            state: Local states of the events, on the CPU; those of a lifetime are contiguous.
            lengths: Number of events of each lifetime, (B,).
        """
        sums = torch.empty_like(state.weight)
        values = {**state._asdict(), "lengths": lengths}
        columns = EventColumns(*(values[name].numpy() for name in EventColumns._fields))
        sum_terms(coefficients, self.tables, self._traces(state), columns, sums.numpy())
        return sums

    def _traces(self, state: LocalState) -> TraceProducts:
        traces = Traces(state, self.dt)
        trace_of_tau: dict[float, Array] = {}  # by time constant
        sides = {side: np.ones((len(state.histories), len(self.terms))) for side in "xy"}
        for place, factors in enumerate(self.terms):
            for name in factors:
                if name[0] in sides and name not in self.extra_names:
                    tau = time_constant(name)
                    if tau not in trace_of_tau:
                        trace_of_tau[tau] = traces.exponential(tau).numpy()
                    sides[name[0]][:, place] *= trace_of_tau[tau]
        return TraceProducts(sides["x"], sides["y"])


class FrozenTerms:
    """Computes terms for acting.

    Args:
        terms: Of the formula.
    """

    def __init__(self, terms: FormulaTerms) -> None:
        self.terms = terms

    def view(self, state: LocalState) -> TermView:
        """Return the terms of each event."""
        return TermView(self.terms.dense(state))

    def inputs(self, state: LocalState) -> HeadInputs:
        """Return the terms of each event, for per-lifetime heads."""
        if state.weight.device.type == "cpu":
            return TermInputs(self.terms, state)
        return DenseInputs(self.terms.dense(state), state.group)


class TermInputs:
    """Terms of a batch of events on the CPU, summed by a compiled loop without writing them out.

    Args:
        terms: Of the formula.
        state: Local states of the events.
    """

    def __init__(self, terms: FormulaTerms, state: LocalState) -> None:
        self._terms = terms
        self._state = state

    def rows(self, some: slice) -> Tensor:
        """Return the terms of some events, (M, K)."""
        return self._terms.dense(self._state.take(some))

    def by_lifetime(self, heads: Sequence[Sequence[OwnLayer]], lengths: Tensor) -> Tensor:
        """Return each event's output of the formula of its group and lifetime; lifetimes are contiguous: (E,)."""
        return torch.tanh_(self._terms.sums(own_coefficients(heads), self._state, lengths))


class OwnFormulas:
    """A rule with a separate formula for each lifetime.

    Args:
        terms: Of all formulas.
        heads: Layers of each head, one for formulas.
    """

    def __init__(self, terms: FormulaTerms, heads: Sequence[Sequence[OwnLayer]]) -> None:
        self._terms = terms
        self._coefficients = own_coefficients(heads)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the weight change of each event, (E,), in [-1, 1]."""
        return torch.tanh_(self._terms.sums(self._coefficients, events.local_state(), events.lengths))

    def whole_formula(self) -> WholeFormula:
        """Return the formulas."""
        return self._terms.whole_formula(self._coefficients)


def own_coefficients(heads: Sequence[Sequence[OwnLayer]]) -> Array:
    """Return c of every lifetime and head, c_0 last, float64 (B, G, K + 1)."""
    layers = [torch.cat([head[0].weights[:, :, 0], head[0].bias[:, :, 0]], dim=1) for head in heads]  # (B, K + 1)
    return torch.stack(layers, dim=1).double().cpu().numpy()
