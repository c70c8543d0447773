"""Formulas as tables, by which lifetimes live whole episodes in compiled loops (`kernels/formula_images.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.formula_images import FormulaRule
from snn_plasticity_gym.kernels.scalars import FACTOR, LAYER, POTENTIAL, REWARD, SURROGATE, THETA
from snn_plasticity_gym.rules.factors import Factors, is_trace, time_constant

SCALARS = {
    "potential": POTENTIAL,
    "surrogate": SURROGATE,
    "theta": THETA,
    "factor": FACTOR,
    "reward": REWARD,
    "layer": LAYER,
}
"""Scalars that compiled loops know, by name; see `plasticity.local_scalars`."""


class WholeFormula(NamedTuple):
    """A sum of terms, c_0 + sum_k c_k phi_k, for every group."""

    terms: tuple[Factors, ...]  # phi
    coefficients: NDArray[np.float64]  # c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: of all lifetimes
    dt: float  # ms, length of a time step, for traces
    extra_names: tuple[str, ...]  # further scalars of the environment
    squashed: bool  # delta_d is tanh of the sum

    def tables(self, num_steps: int) -> FormulaRule | None:
        """Return the formula for episodes of so many steps; None: it has scalars that loops do not know."""
        if not set(self.extra_names) <= set(SCALARS):
            return None
        traces = sorted({name for term in self.terms for name in term if self._is_trace(name)})
        taus = sorted({time_constant(name) for name in traces})
        counts = [Counter(term) for term in self.terms]
        pre, of_pre = _products([[_total(count, "x", tau, self) for tau in taus] for count in counts], len(taus))
        post, of_post = _products([[_total(count, "y", tau, self) for tau in taus] for count in counts], len(taus))
        exponents = [[count[name] for name in self.extra_names] for count in counts]
        scalars, of_scalars = _products(exponents, len(self.extra_names))
        ages = np.arange(num_steps + 1)
        return FormulaRule(
            coefficients=self.coefficients,
            needs_pre=np.array(["pre" in term for term in self.terms], dtype=np.bool_),
            needs_post=np.array(["post" in term for term in self.terms], dtype=np.bool_),
            power=np.array([term.count("w") for term in self.terms], dtype=np.int64),
            of_pre=of_pre,
            of_post=of_post,
            of_scalars=of_scalars,
            pre_products=pre,
            post_products=post,
            scalar_products=scalars,
            scalars=np.array([SCALARS[name] for name in self.extra_names], dtype=np.int64),
            decays=np.array([np.exp(-ages * self.dt / tau) for tau in taus]).reshape(len(taus), num_steps + 1),
            squashed=self.squashed,
        )

    def _is_trace(self, name: str) -> bool:
        return name not in ("pre", "post", "w", *self.extra_names) and is_trace(name)


@runtime_checkable
class HasFormula(Protocol):
    """A rule that is a formula, or may be."""

    def whole_formula(self) -> WholeFormula | None:
        """Return the formula; None: this rule is none."""


def _total(count: Counter[str], side: str, tau: float, formula: WholeFormula) -> int:
    """Return how often the trace of a side and time constant is a factor of a term."""
    return sum(
        times
        for name, times in count.items()
        if name not in formula.extra_names and name[0] == side and time_constant(name) == tau
    )


def _products(exponents: Sequence[Sequence[int]], width: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the distinct rows, that of zeros first, and which of them each row is."""
    distinct = list(dict.fromkeys([(0,) * width, *(tuple(row) for row in exponents)]))
    places = np.array([distinct.index(tuple(row)) for row in exponents], dtype=np.int64)
    return np.array(distinct, dtype=np.int64).reshape(len(distinct), width), places
