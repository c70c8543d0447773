"""Variance of a learned rule that hand-written rules and a short formula explain (R^2), on recorded events.

R^2 is measured on the events of held-out networks: 1 - sum (d - d')^2 / sum (d - mean d)^2.

Axes: E events, C candidate terms.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.event_sample import EventSample
from snn_plasticity_gym.evaluation.stdp_fit import r_squared
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.distilled import DistilledRule, FactorTable, Term
from snn_plasticity_gym.rules.factors import Factors
from snn_plasticity_gym.rules.registry import RULES, read_rule

Array = NDArray[np.float64]

NETWORKS = 4  # of a sample: two to fit, one to choose the number of terms, one to test
MOST_TERMS = 10
MIN_GAIN = 0.01  # of R^2 that further terms must add
FEWEST = 50  # events of a head in each part
TAUS = (2, 5, 10, 20, 50, 100)  # time steps; those longer than a history are left out
NOT_COMPARED = ("zero", "random", "reward-stdp")  # the last answers as stdp does


class Explanation(NamedTuple):
    """Fitted explanations of one head of a rule."""

    head: str
    rules: dict[str, float]  # R^2 of hand-written rules, each with the best scale and offset
    terms: list[Term]  # the formula
    r_squared: float  # of the formula; NaN if the rule's output is constant
    answers: Array  # (E,) outputs of the rule for the held-out events
    formula: Array  # (E,) predictions of the formula for them


def explain(sample: EventSample, scale: float) -> list[Explanation]:
    """Explain a rule from a sample of events, head by head; projections that share a head are pooled.

    A hand-written rule has its default parameters, and the least-squares scale and offset. The formula is a sum of
    terms of `candidates`, chosen by orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad 1993); it has as few
    of them as come within `MIN_GAIN` of the best R^2 on a validation network.

    Args:
        sample: Events of `NETWORKS` networks.
        scale: The environment's learning rate, which hand-written rules need.

    Returns:
        The explanation of each head, without heads that have too few events.
    """
    site = sample.sites[0]
    explanations = []
    for head, name in enumerate(sample.heads):
        parts = [
            sample.take(((sample.events.group == head) & part).nonzero().squeeze(1))
            for part in (sample.network < NETWORKS - 2, sample.network == NETWORKS - 2, sample.network == NETWORKS - 1)
        ]
        if min(len(part.delta_d) for part in parts) < FEWEST:
            continue
        factors = candidates(site.dt, site.history_length, site.extra_names)
        terms = _pursue(parts[0], parts[1], factors)
        formula = DistilledRule([[]] * head + [terms], site.dt, site.extra_names)
        predictions = formula(parts[2].events).clamp(-1.0, 1.0).double().numpy()
        targets = parts[2].delta_d.double().numpy()
        head_sample = sample.take((sample.events.group == head).nonzero().squeeze(1))
        rules = _explained_by(head_sample, scale)
        explanations.append(Explanation(name, rules, terms, r_squared(targets, predictions), targets, predictions))
    return explanations


def distilled(explanations: Sequence[Explanation], sample: EventSample) -> DistilledRule:
    """Return the formulas as one rule; a head without an explanation changes no weight."""
    terms_of_head = {one.head: one.terms for one in explanations}
    return DistilledRule(
        [terms_of_head.get(name, []) for name in sample.heads], sample.sites[0].dt, sample.sites[0].extra_names
    )


def candidates(dt: float, history_length: int, extra_names: Sequence[str]) -> list[Factors]:
    """Return the candidate terms of a formula: spike kind, times traces, times weight, times further scalars."""
    taus = [f"{steps * dt:g}" for steps in TAUS if steps <= history_length] + ["n"]
    fires: list[Factors] = [("pre",), ("post",), ("pre", "post")]
    traces: list[Factors] = [
        (),
        *((f"{side}{tau}",) for tau in taus for side in "xy"),
        *((f"x{t}", f"y{t}") for t in taus),
    ]
    weights: list[Factors] = [(), ("w",), ("w", "w")]
    extras: list[Factors] = [(), *((name,) for name in extra_names)]
    return [a + b + c + d for a in fires for b in traces for c in weights for d in extras]


def _columns(sample: EventSample, factors: Sequence[Factors]) -> Array:
    """Return the values of candidate terms, (E, C)."""
    site = sample.sites[0]
    table = FactorTable(sample.events, site.dt, site.extra_names)
    return torch.stack([table(some) for some in factors], dim=1).double().numpy()


def _pursue(fit: EventSample, choose: EventSample, factors: Sequence[Factors]) -> list[Term]:
    """Return the terms that explain most variance in `fit`; their number is chosen on `choose`."""
    matrix, targets = _columns(fit, factors), fit.delta_d.double().numpy()
    norm = np.linalg.norm(matrix, axis=0)  # (C,)
    used = np.flatnonzero(norm > 1e-9 * math.sqrt(len(targets)))
    used = used[_first_of_equals(matrix[:, used] / norm[used])]
    unit = matrix[:, used] / norm[used]
    if not len(used) or not np.abs(targets).max():
        return []
    from sklearn.linear_model import orthogonal_mp  # a second of import time, and few runs get here soon

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing is left to explain: a good end, not a problem
        path = orthogonal_mp(unit, targets, n_nonzero_coefs=min(MOST_TERMS, len(used)), return_path=True)
    path = path.reshape(len(used), -1)  # (C', path), each column with one more term
    values = _columns(choose, [factors[place] for place in used]) / norm[used]
    scores = [
        r_squared(choose.delta_d.double().numpy(), np.clip(values @ path[:, k], -1, 1)) for k in range(path.shape[1])
    ]
    best = next((k for k, score in enumerate(scores) if score >= max(scores) - MIN_GAIN), 0)
    coefficients = path[:, best] / norm[used]
    order = np.argsort(-np.abs(path[:, best]))  # largest coefficient first
    return [Term(float(coefficients[k]), factors[used[k]]) for k in order if path[k, best] != 0.0]


def _first_of_equals(unit: Array) -> Array:
    """Return the indices of columns without duplicates, which pursuit cannot separate: (E, C) -> (C',)."""
    _, first = np.unique(unit.round(9), axis=1, return_index=True)
    return np.sort(first)


def _explained_by(sample: EventSample, scale: float) -> dict[str, float]:
    """Return R^2 of every hand-written rule, without those that need a scalar that the events lack."""
    found = {}
    for name in RULES:
        if name in NOT_COMPARED:
            continue
        try:
            found[name] = _affine(read_rule(name, dt=sample.sites[0].dt, scale=scale), sample)
        except ConfigError:
            continue
    return found


def _affine(rule: Rule, sample: EventSample) -> float:
    """Return R^2, on the last network, of a rule with scale and offset fitted on the other networks."""
    predictions = rule(sample.events).clamp(-1.0, 1.0).double().numpy()
    targets = sample.delta_d.double().numpy()
    test = (sample.network == NETWORKS - 1).numpy()
    design = np.stack([predictions, np.ones_like(predictions)], axis=1)
    fitted, *_ = np.linalg.lstsq(design[~test], targets[~test], rcond=None)
    return r_squared(targets[test], design[test] @ fitted)
