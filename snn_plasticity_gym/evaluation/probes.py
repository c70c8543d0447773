"""Probe a rule with chosen spike trains: the weight change of a synapse in every time step.

A rule is called with events as in an environment, one call per time step (and phase), so that rules of every kind are
probed in the same way: policies, hand-written rules, a user's function with internal state. The weight is held fixed,
so that all outputs are those at this weight; the environment's clip of delta_d to [-1, 1] is applied.

Axes: E synapses, T steps, K history length, X extra scalars of an event.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.networks.spike_history import empty_windows, push
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.base import Rule


class Site(NamedTuple):
    """Properties shared by synapses that are probed together."""

    name: str  # e.g. "input_to_exc"
    projection: int
    group: int  # `SynapseEvents.group`; the first of two where there are two phases
    dt: float  # ms
    history_length: int  # K
    sides: tuple[int | None, ...] = (None,)  # phases of a step: 0: of pre events, 1: of post events, None: of all
    extra_names: tuple[str, ...] = ()  # scalars beyond the weight


@torch.no_grad()
def answers(rule: Rule, site: Site, pre: Tensor, post: Tensor, weight: Tensor, extras: Tensor | None = None) -> Tensor:
    """Return a rule's weight changes for spike trains that follow silence: delta_d of every step, (E, T).

    Args:
        rule: Plasticity rule.
        site: Of the synapses.
        pre: Spikes of the pre neurons, 0 or 1, (E, T).
        post: Spikes of the post neurons, (E, T).
        weight: Fixed through the trains, (E,).
        extras: Scalars beyond the weight, (E, X); None: zeros.
    """
    count, steps = pre.shape
    if extras is None:
        extras = weight.new_zeros(count, len(site.extra_names))
    windows = empty_windows(2, count, length=site.history_length)  # (2, E, W)
    delta_d = weight.new_zeros(count, steps)
    for step in range(steps):
        fired = torch.stack([pre[:, step], post[:, step]]) > 0  # (2, E)
        push(windows, fired, site.history_length)
        for side in site.sides:
            some = (fired.any(dim=0) if side is None else fired[side]).nonzero().squeeze(1)  # (M,)
            if len(some):
                events = _events(site, some, windows[:, some], fired[:, some], weight[some], extras[some], side)
                delta_d[some, step] += rule(events).to(weight.dtype).clamp(-1.0, 1.0)
    return delta_d


def _events(
    site: Site, synapse: Tensor, windows: Tensor, fired: Tensor, weight: Tensor, extras: Tensor, side: int | None
) -> SynapseEvents:
    """Build the events of M synapses.

    Args:
        site: Of the synapses.
        synapse: Their indices, (M,).
        windows: Histories of their pre and post neurons, int64 (2, M, W).
        fired: Whether these neurons fire now, bool (2, M).
        weight: (M,).
        extras: (M, X).
        side: 0 for a phase of pre events, 1 for one of post events, None where there is one phase for all.
    """
    count = len(synapse)
    place = torch.arange(count)
    if side is None:
        kind = torch.where(fired[0], torch.where(fired[1], KIND_BOTH, KIND_PRE), KIND_POST)
    else:
        kind = torch.full((count,), KIND_POST if side else KIND_PRE)
    return SynapseEvents(
        histories=torch.cat([torch.zeros_like(windows[0, :1]), *windows]),  # (1 + 2 M, W)
        pair_pre=1 + place,
        pair_post=1 + count + place,
        pair=place,
        synapse=synapse,
        weight=weight,
        projection=torch.full((count,), site.projection),
        group=torch.full((count,), site.group + site.sides.index(side)),
        kind=kind.to(torch.uint8),
        extras=extras,
        lengths=torch.tensor([count]),
        history_length=site.history_length,
        extra_names=site.extra_names,
    )
