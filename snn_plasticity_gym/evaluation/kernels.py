"""STDP kernels of a rule: its responses to spike pairs and bursts, by delay, weight, and further scalars.

Axes: D delays, S settings (weights, or values of a scalar), W weights, R pre rates, Q post rates, N trials.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.evaluation.probes import Site, answers
from snn_plasticity_gym.rules.base import Rule

Array = NDArray[np.float64]


class PairWindow(NamedTuple):
    """Weight change by one pre and one post spike, alone in K steps, in units of delta_d."""

    delays: Array  # (D,) ms, t_post - t_pre, ascending; 0 is the two spikes of one step
    change: Array  # (S, D) sum of the rule's outputs for both spikes
    pre_alone: Array  # (S,) output for a pre spike without a post spike
    post_alone: Array  # (S,) output for a post spike without a pre spike

    @property
    def interaction(self) -> Array:
        """Change by the pair minus the changes by its single spikes, (S, D): the window of pair-based STDP."""
        return self.change - (self.pre_alone + self.post_alone)[:, None]


def pair_window(rule: Rule, site: Site, weights: Array, extras: Array | None = None) -> PairWindow:
    """Present pairs of single spikes at all delays that fit in a history.

    Args:
        rule: Plasticity rule.
        site: Where the synapses are.
        weights: Weight of each setting, (S,).
        extras: Further scalars of each setting, (S, X); None: zeros.
    """
    length = site.history_length
    steps = np.arange(1 - length, length)  # (D,)
    count = len(steps) + 2
    pre, post = (torch.zeros(count, length, dtype=torch.uint8) for _ in range(2))
    place = torch.arange(len(steps))
    pre[place, torch.from_numpy(np.maximum(0, -steps))] = 1
    post[place, torch.from_numpy(np.maximum(0, steps))] = 1
    pre[-2, -1] = post[-1, -1] = 1  # alone, at the end of silence
    changes = _for_settings(rule, site, pre, post, weights, extras).sum(dim=2).double().numpy()  # (S, D + 2)
    return PairWindow(site.dt * steps.astype(np.float64), changes[:, :-2], changes[:, -2], changes[:, -1])


class RateResponse(NamedTuple):
    """Weight change by independent Poisson spikes of constant rates in an episode, in units of delta_d."""

    pre_rates: Array  # (R,) Hz
    post_rates: Array  # (Q,) Hz
    change: Array  # (R, Q) sum of the rule's outputs, mean over trials
    error: Array  # (R, Q) standard error of that mean
    duration: float  # ms


def rate_response(
    rule: Rule,
    site: Site,
    weight: float,
    rates: Array,
    extras: Array | None = None,
    trials: int = 100,
    seed: int = 0,
) -> RateResponse:
    """Present bursts: Poisson trains of K steps, pre and post independent, at every pair of rates.

    All rates share the random numbers of a trial, so that differences between rates are those of the rule.

    Args:
        rule: Plasticity rule.
        site: Where the synapses are.
        weight: Of all synapses.
        rates: Rates of either neuron, in Hz; at most one spike a step, (R,).
        extras: Further scalars, (X,); None: zeros.
        trials: N.
        seed: Of the spikes.

    Raises:
        ValueError: A rate is more than a spike a step.
    """
    chance = torch.from_numpy(rates * site.dt / 1000.0)  # (R,) spikes a step
    if chance.min() < 0 or chance.max() > 1:
        raise ValueError(f"rates must be between 0 and {1000.0 / site.dt:g} Hz, got {rates.min():g} to {rates.max():g}")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, trials, site.history_length, generator=generator, dtype=torch.float64)
    pre, post = (drawn[side] < chance[:, None, None] for side in (0, 1))  # (R, N, K)
    pre = pre.unsqueeze(1).expand(-1, len(rates), -1, -1).flatten(0, 2).to(torch.uint8)  # (R * R * N, K)
    post = post.unsqueeze(0).expand(len(rates), -1, -1, -1).flatten(0, 2).to(torch.uint8)
    changes = _for_settings(rule, site, pre, post, np.array([weight]), None if extras is None else extras[None])
    total = changes[0].sum(dim=1).double().view(len(rates), len(rates), trials)
    error = total.std(dim=2) / trials**0.5
    return RateResponse(rates, rates, total.mean(dim=2).numpy(), error.numpy(), site.history_length * site.dt)


def _for_settings(rule: Rule, site: Site, pre: Tensor, post: Tensor, weights: Array, extras: Array | None) -> Tensor:
    """Return the rule's outputs for the same trains, (E, T), in each setting: (S, E, T)."""
    count, settings = len(pre), len(weights)
    weight = torch.as_tensor(weights, dtype=torch.float32).repeat_interleave(count)  # (S * E,)
    scalars = None
    if extras is not None:
        scalars = torch.as_tensor(extras, dtype=torch.float32).repeat_interleave(count, dim=0)  # (S * E, X)
    changes = answers(rule, site, pre.repeat(settings, 1), post.repeat(settings, 1), weight, scalars)
    return changes.unflatten(0, (settings, count))
