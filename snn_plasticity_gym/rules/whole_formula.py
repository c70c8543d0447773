"""Formulas as tables for running whole episodes in compiled loops (`kernels/formula_images.py`)."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.formula_images import FormulaRule
from snn_plasticity_gym.kernels.scalars import FACTOR, LAYER, POTENTIAL, REWARD, SURROGATE, THETA
from snn_plasticity_gym.rules.factors import Factors, time_constant

SCALARS = {
    "potential": POTENTIAL,
    "surrogate": SURROGATE,
    "theta": THETA,
    "factor": FACTOR,
    "reward": REWARD,
    "layer": LAYER,
}
"""Scalars supported by compiled loops, by name; see `plasticity.local_scalars`."""


class WholeFormula(NamedTuple):
    """A sum of terms, c_0 + sum_k c_k phi_k, for every group."""

    terms: tuple[Factors, ...]  # phi
    coefficients: NDArray[np.float64]  # c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: shared
    dt: float  # ms, length of a time step, for traces
    extra_names: tuple[str, ...]  # further scalars of the environment
    squashed: bool  # delta_d is tanh of the sum

    def fits(self, extra_names: Sequence[str], num_groups: int) -> bool:
        """Whether it fits the events of an environment with such scalars and groups."""
        return self.extra_names == tuple(extra_names) and self.coefficients.shape[1] >= num_groups

    def tables(self, num_steps: int) -> FormulaRule | None:
        """Return the formula for episodes of that length; None: loops do not support its scalars."""
        if not set(self.extra_names) <= set(SCALARS):
            return None
        tables = _tables(self.terms, self.extra_names, self.dt, num_steps)
        return tables._replace(coefficients=self.coefficients, squashed=self.squashed)


class HasFormula(Protocol):
    """A rule that may be a formula."""

    def whole_formula(self) -> WholeFormula | None:
        """Return the formula; None: this rule is none."""


def has_formula(rule: object) -> TypeGuard[HasFormula]:
    """Whether a rule may be a formula; see `has_closed_form`."""
    return hasattr(rule, "whole_formula")


@functools.lru_cache(maxsize=64)
def _tables(terms: tuple[Factors, ...], extra_names: tuple[str, ...], dt: float, num_steps: int) -> FormulaRule:
    """Return the tables of terms; coefficients are left out."""
    plain = ("pre", "post", "w", *extra_names)
    taus = sorted({time_constant(name) for term in terms for name in term if name not in plain})
    counts = [Counter(term) for term in terms]

    def traces(side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the products of the traces of one side, by time constants."""
        names = [
            {name: times for name, times in count.items() if name not in plain and name[0] == side} for count in counts
        ]
        rows = [[sum(n for name, n in own.items() if time_constant(name) == tau) for tau in taus] for own in names]
        return _products(rows, len(taus))

    pre, of_pre = traces("x")
    post, of_post = traces("y")
    scalars, of_scalars = _products([[count[name] for name in extra_names] for count in counts], len(extra_names))
    ages = np.arange(num_steps + 1)
    return FormulaRule(
        coefficients=np.zeros((0, 0, 0)),
        needs_pre=np.array(["pre" in term for term in terms], dtype=np.bool_),
        needs_post=np.array(["post" in term for term in terms], dtype=np.bool_),
        power=np.array([term.count("w") for term in terms], dtype=np.int64),
        of_pre=of_pre,
        of_post=of_post,
        of_scalars=of_scalars,
        pre_products=pre,
        post_products=post,
        scalar_products=scalars,
        scalars=np.array([SCALARS[name] for name in extra_names], dtype=np.int64),
        decays=np.array([np.exp(-ages * dt / tau) for tau in taus]).reshape(len(taus), num_steps + 1),
        squashed=False,
    )


def _products(exponents: Sequence[Sequence[int]], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct rows, that of zeros first, and the index of each row among them."""
    distinct = list(dict.fromkeys([(0,) * width, *(tuple(row) for row in exponents)]))
    places = np.array([distinct.index(tuple(row)) for row in exponents], dtype=np.int64)
    return np.array(distinct, dtype=np.int64).reshape(len(distinct), width), places
