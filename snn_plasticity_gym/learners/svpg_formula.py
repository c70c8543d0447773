"""Formulas as rules of winner-take-all networks: sums of products of three factors, as `contrast` and `paper` are.

Variables of a synapse, for each image or action: the third factor R, its weight w and three variables of its neurons:
their rate in the free phase ("free"), its change with the action clamped ("moved"), and a one-hot sample of the free
rates, in each group, in the action group the action taken, minus that rate ("drawn"). A formula has a coefficient for
each product:

    inputs   R s_i x_k for each of these x, and w_ik
    lateral  R (x_i y_k + y_i x_k) / 2 for each pair x, y of them, one with itself too, and J_ik

A bias is the weight of an input that is always 1. Terms independent of the post neuron are left out: they would shift
all neurons of a group equally, to which a softmax is invariant.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.svpg import STATES, TERMS, check_formula
from snn_plasticity_gym.networks.rwta import RWTAWeights

PAIRS = list(itertools.combinations_with_replacement(range(len(STATES)), 2))
SIZE = sum(map(len, TERMS.values()))  # coefficients of a formula

CONTRAST = {"inputs": {"moved": 1.0}, "lateral": {"free*moved": 2.0, "moved*moved": 1.0}}
PAPER = {"inputs": {"drawn": 1.0}, "lateral": {"free*drawn": 2.0}}


def coefficients_of(formula: str | Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the coefficients of a formula, a mapping or its JSON, in the order of `TERMS`, (SIZE,).

    Raises:
        ConfigError: It is no formula.
    """
    given = json.loads(formula) if isinstance(formula, str) else formula
    check_formula(given)
    return np.array([float(given.get(part, {}).get(name, 0.0)) for part, names in TERMS.items() for name in names])


def formula_of(coefficients: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Return a formula as a mapping, from coefficients, without zeros."""
    values = iter(coefficients.tolist())
    named = {part: {name: next(values) for name in names} for part, names in TERMS.items()}
    return {part: {name: value for name, value in terms.items() if value} for part, terms in named.items()}


def formula_change(
    coefficients: NDArray[np.float64],
    weights: RWTAWeights,
    inputs: Tensor,
    free: Tensor,
    held: Tensor,
    drawn: Tensor,
    factor: Tensor,
) -> RWTAWeights:
    """Return the mean change of a batch by a formula; missing connections are not masked yet.

    Args:
        coefficients: Of `coefficients_of`.
        weights: Those of the network.
        inputs: (B, S).
        free: Rates of the free phase, (B, N).
        held: Rates with the action clamped, (B, N).
        drawn: One-hot in each group, (B, N).
        factor: R, (B,).
    """
    states = (free, held - free, drawn - free)  # (B, N) each, as in STATES
    *of_inputs, decay = coefficients[: len(TERMS["inputs"])].tolist()
    *of_lateral, lateral_decay = coefficients[len(TERMS["inputs"]) :].tolist()
    scale = factor[:, None] / len(factor)  # (B, 1)
    push = torch.zeros_like(free)  # (B, N) postsynaptic factor of input synapses
    for value, state in zip(of_inputs, states, strict=True):
        push = push + value * scale * state
    partners = [torch.zeros_like(free) for _ in states]  # (B, N) each, of the states in lateral products
    for value, (one, other) in zip(of_lateral, PAIRS, strict=True):
        partners[one] = partners[one] + value * scale * states[other]
    lateral = torch.cat(states).T @ torch.cat(partners)  # (N, N)
    return RWTAWeights(
        inputs.T @ push + decay * weights.inputs,
        (lateral + lateral.T) / 2 + lateral_decay * weights.lateral,
        push.sum(dim=0) + decay * weights.bias,
    )
