"""How much of a learned rule hand-written rules and a short formula explain, on real events.

R^2 is that of events of networks on which nothing was fitted: 1 - sum (d - d')^2 / sum (d - mean d)^2.

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

NETWORKS = 4  # that a sample needs: two to fit by, one to choose the number of terms by, one to test on
MOST_TERMS = 10
WORTH = 0.01  # of R^2 that further terms must add
FEWEST = 50  # events of a head in each part
TAUS = (2, 5, 10, 20, 50, 100)  # time steps; those longer than a history are left out
NOT_COMPARED = ("zero", "random", "reward-stdp")  # the last answers as stdp does


class Explanation(NamedTuple):
    """What explains one head of a rule."""

    head: str
    rules: dict[str, float]  # R^2 of hand-written rules, each with the best scale and offset
    terms: list[Term]  # the formula
    r_squared: float  # of the formula; NaN if the rule answers all events alike
    answers: Array  # (E,) of the rule to the held-out events
    formula: Array  # (E,) of the formula to them


def explain(sample: EventSample, scale: float) -> list[Explanation]:
    """Explain a rule from a sample of events, head by head; projections that share a head count alike.

    A hand-written rule has its default parameters, and the least-squares scale and offset. The formula is a sum of
    terms of `candidates`, chosen by orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad 1993); it has as few
    of them as come within `WORTH` of the best R^2 on a network of their own.

    Args:
        sample: Events of `NETWORKS` networks.
        scale: The environment's learning rate, which hand-written rules need to know.

    Returns:
        What explains each head, without those that have answered too few events.
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
        said = formula(parts[2].events).clamp(-1.0, 1.0).double().numpy()
        told = parts[2].delta_d.double().numpy()
        known = sample.take((sample.events.group == head).nonzero().squeeze(1))
        rules = _explained_by(known, scale)
        explanations.append(Explanation(name, rules, terms, r_squared(told, said), told, said))
    return explanations


def distilled(explanations: Sequence[Explanation], sample: EventSample) -> DistilledRule:
    """Return the formulas as one rule; a head that nothing is known of changes no weight."""
    known = {one.head: one.terms for one in explanations}
    return DistilledRule(
        [known.get(name, []) for name in sample.heads], sample.sites[0].dt, sample.sites[0].extra_names
    )


def candidates(dt: float, history_length: int, extra_names: Sequence[str]) -> list[Factors]:
    """Return the terms that a formula is chosen from: who fires, times traces, times weight, times further scalars."""
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
    """Return the terms that explain most of the answers in `fit`, as many as `choose` bears out."""
    matrix, told = _columns(fit, factors), fit.delta_d.double().numpy()
    norm = np.linalg.norm(matrix, axis=0)  # (C,)
    used = np.flatnonzero(norm > 1e-9 * math.sqrt(len(told)))
    used = used[_first_of_equals(matrix[:, used] / norm[used])]
    unit = matrix[:, used] / norm[used]
    if not len(used) or not np.abs(told).max():
        return []
    from sklearn.linear_model import orthogonal_mp  # a second of import time, and few runs get here soon

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing is left to explain: a good end, not a problem
        path = orthogonal_mp(unit, told, n_nonzero_coefs=min(MOST_TERMS, len(used)), return_path=True)
    path = path.reshape(len(used), -1)  # (C', path), each column with one more term
    seen = _columns(choose, [factors[place] for place in used]) / norm[used]
    scores = [
        r_squared(choose.delta_d.double().numpy(), np.clip(seen @ path[:, k], -1, 1)) for k in range(path.shape[1])
    ]
    best = next((k for k, score in enumerate(scores) if score >= max(scores) - WORTH), 0)
    coefficients = path[:, best] / norm[used]
    order = np.argsort(-np.abs(path[:, best]))  # what matters most stands first
    return [Term(float(coefficients[k]), factors[used[k]]) for k in order if path[k, best] != 0.0]


def _first_of_equals(unit: Array) -> Array:
    """Return the places of columns that no earlier one equals, as pursuit cannot tell such apart: (E, C) -> (C',)."""
    _, first = np.unique(unit.round(9), axis=1, return_index=True)
    return np.sort(first)


def _explained_by(sample: EventSample, scale: float) -> dict[str, float]:
    """Return R^2 of every hand-written rule, without those that need a scalar which the events do not show."""
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
    """Return R^2, on the last network, of a rule with the scale and offset that suit the other networks best."""
    said = rule(sample.events).clamp(-1.0, 1.0).double().numpy()
    told = sample.delta_d.double().numpy()
    test = (sample.network == NETWORKS - 1).numpy()
    design = np.stack([said, np.ones_like(said)], axis=1)
    fitted, *_ = np.linalg.lstsq(design[~test], told[~test], rcond=None)
    return r_squared(told[test], design[test] @ fitted)
