"""Formulas evaluated by a compiled loop: for each event a polynomial of its weight.

All but the weight and further scalars is the same for events of one kind, pair of histories and formula, which are
many: a spike's fan has many silent neurons. So a formula is summed once for each of these, into a polynomial.

Axes: E events, P pairs, H histories, L lifetimes, G groups, K terms, M products of scalars, S scalars.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]


class FormulaTables(NamedTuple):
    """Factors of each term, except traces."""

    fires: Array  # (kinds, K) bool, whether the term is there in an event of each kind
    power: Array  # (K,) exponent of the weight
    product: Array  # (K,) its product of scalars
    exponents: Array  # (M, S) exponent of each scalar in each product; 0 in the first one


class TraceProducts(NamedTuple):
    """Products of each term's traces, by history."""

    of_pre: Array  # (H, K) those of the pre neuron
    of_post: Array  # (H, K)


class EventColumns(NamedTuple):
    """Columns of `LocalState` that the loop uses, and the events' lifetimes."""

    pair_pre: Array  # (P,)
    pair_post: Array  # (P,)
    pair: Array  # (E,)
    kind: Array  # (E,)
    weight: Array  # (E,)
    group: Array  # (E,)
    extras: Array  # (E, S)
    lengths: Array  # (B,) sums to E


@compiled()
def sum_terms(
    coefficients: Array, tables: FormulaTables, traces: TraceProducts, events: EventColumns, sums: Array
) -> None:
    """Compute c_0 + sum_k c_k phi_k of every event.

    Args:
        coefficients: c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: of all lifetimes.
        tables: Of the formula.
        traces: Of the histories of these events.
        events: Those of a lifetime are contiguous.
        sums: Output, (E,).
    """
    fires, power, product, exponents = tables
    pair, kind, weight, group = events.pair, events.kind, events.weight, events.group
    num_terms, num_kinds, num_groups = len(power), len(fires), coefficients.shape[1]
    num_polynomials = len(events.pair_pre) * num_kinds * num_groups
    num_powers = max(power.max() + 1, 2)
    polynomials = np.empty((num_polynomials, len(exponents), num_powers))
    made_for = np.full(num_polynomials, -1)  # lifetime of each
    event = 0
    for lifetime in range(len(events.lengths)):
        which_own = lifetime if len(coefficients) > 1 else 0
        own = coefficients[which_own]
        for _ in range(events.lengths[lifetime]):
            of_kind, of_group = np.int64(kind[event]), group[event]
            key = (pair[event] * num_kinds + of_kind) * num_groups + of_group
            if made_for[key] != which_own:
                made_for[key] = which_own
                polynomial = polynomials[key]
                of_pre = traces.of_pre[events.pair_pre[pair[event]]]
                of_post = traces.of_post[events.pair_post[pair[event]]]
                polynomial[:] = 0.0
                for term in range(num_terms):
                    if fires[of_kind, term]:
                        value = own[of_group, term] * of_pre[term] * of_post[term]
                        polynomial[product[term], power[term]] += value
                polynomial[0, 0] += own[of_group, num_terms]
            w = np.float64(weight[event])
            total = polynomials[key, 0, 0] + polynomials[key, 0, 1] * w
            for degree in range(2, num_powers):
                total += polynomials[key, 0, degree] * w**degree
            for which in range(1, len(exponents)):
                value = polynomials[key, which, 0] + polynomials[key, which, 1] * w
                for degree in range(2, num_powers):
                    value += polynomials[key, which, degree] * w**degree
                for scalar in range(exponents.shape[1]):
                    if exponents[which, scalar]:
                        value *= events.extras[event, scalar] ** exponents[which, scalar]
                total += value
            sums[event] = total
            event += 1
