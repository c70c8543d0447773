"""Formulas answered by a compiled loop: each event a polynomial of its weight.

All but the weight and further scalars is the same for events of one kind, pair of histories and formula, which often
stand together: a spike's fan meets many silent neurons. So a formula is summed up into a polynomial once for each run
of such events.

Axes: E events, P pairs, H histories, L lifetimes, G groups, K terms, M products of scalars, S scalars.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.compiled import compiled

Array = NDArray[Any]


@compiled()
def sum_terms(
    coefficients: Array,
    fires: Array,
    of_pre: Array,
    of_post: Array,
    power: Array,
    product: Array,
    exponents: Array,
    pair_pre: Array,
    pair_post: Array,
    pair: Array,
    kind: Array,
    weight: Array,
    group: Array,
    extras: Array,
    lengths: Array,
    sums: Array,
) -> None:
    """Fill in c_0 + sum_k c_k phi_k of every event.

    Args:
        coefficients: c of every lifetime and group, c_0 last, (L, G, K + 1); L = 1: of all lifetimes.
        fires: Whether a term is there in an event of each kind, 0 or 1, (kinds, K).
        of_pre: Product of its traces of the pre neuron, (H, K).
        of_post: Of the post neuron, (H, K).
        power: How often the weight is a factor of it, (K,).
        product: Which product of scalars is a factor of it, (K,).
        exponents: How often each scalar is a factor of each product, (M, S); none of the first one's.
        pair_pre: As this and what follows of `SynapseEvents`.
        pair_post: See there.
        pair: See there.
        kind: See there.
        weight: See there.
        group: See there.
        extras: See there.
        lengths: See there.
        sums: Filled in, (E,).
    """
    num_terms = len(power)
    polynomial = np.zeros((len(exponents), power.max() + 1))
    event = 0
    for lifetime in range(len(lengths)):
        own = coefficients[lifetime if len(coefficients) > 1 else 0]
        last_pair, last_kind, last_group = np.int64(-1), np.int64(-1), np.int64(-1)
        for _ in range(lengths[lifetime]):
            if pair[event] != last_pair or kind[event] != last_kind or group[event] != last_group:
                last_pair, last_kind, last_group = pair[event], np.int64(kind[event]), group[event]
                pre, post = pair_pre[last_pair], pair_post[last_pair]
                polynomial[:] = 0.0
                for term in range(num_terms):
                    if fires[last_kind, term]:
                        value = own[last_group, term] * of_pre[pre, term] * of_post[post, term]
                        polynomial[product[term], power[term]] += value
                polynomial[0, 0] += own[last_group, num_terms]
            total = 0.0
            for which in range(len(polynomial)):
                value = 0.0
                for degree in range(polynomial.shape[1] - 1, -1, -1):
                    value = value * weight[event] + polynomial[which, degree]
                if which:
                    for scalar in range(exponents.shape[1]):
                        for _ in range(exponents[which, scalar]):
                            value *= extras[event, scalar]
                total += value
            sums[event] = total
            event += 1
