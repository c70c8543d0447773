"""Traces of spike histories: sums over past spikes of exp(-age * dt / tau), once per distinct history.

    all-to-all:     x(t) = sum over spikes f <= t of exp(-(t - f) dt / tau)
    nearest spike:  x(t) = exp(-(t - f*) dt / tau) for the last spike f* <= t, 0 before the first one

(Morrison, Diesmann & Gerstner 2008, section 4.1). The newest bit of a history is the present spike; whether f = t
counts is the caller's choice. Histories are empty at the start of an episode, so traces are exact where the history
length K is the episode's length T. Where K < T, spikes older than K steps are forgotten, at an error of at most
exp(-K dt / tau) / (1 - exp(-dt / tau)).

A history is split into bytes, each looked up in a table of its 256 values: a trace costs K / 8 look-ups per
distinct history, and one gather per event. Axes: H distinct histories, P pairs, E events, K history length.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from snn_plasticity_gym.networks.spike_history import WORD
from snn_plasticity_gym.plasticity.events import KIND_POST, KIND_PRE, LocalState, SynapseEvents

BYTE = 8  # bits
VALUES = 1 << BYTE


class Traces:
    """Traces of all distinct histories of a step.

    Args:
        events: Events of the step.
        dt: Length of a time step, ms.
    """

    def __init__(self, events: SynapseEvents | LocalState, dt: float) -> None:
        self._length = events.history_length
        self._dt = dt
        self._dtype = events.weight.dtype
        self._bytes = history_bytes(events.histories, events.history_length)  # (K / 8, H)

    def exponential(self, tau: float, *, now: bool = False, nearest: bool = False) -> Tensor:
        """Return one trace per distinct history, (H,).

        Args:
            tau: Time constant, ms.
            now: Whether a spike of the present step counts, with age 0; otherwise only strictly earlier ones do.
            nearest: Whether only the last spike counts.
        """
        ratio = self._dt / tau
        table = byte_table(self._length, ratio, now, nearest, self._dtype, self._bytes.device)
        found = table.index_select(0, self._bytes.flatten()).view_as(self._bytes)  # (K / 8, H)
        return found.amax(dim=0) if nearest else found.sum(dim=0)


def history_bytes(histories: Tensor, length: int) -> Tensor:
    """Return the index of each byte of each history in a flat `byte_table`: (H, W) int64 -> (K / 8, H) int64."""
    shift = torch.arange(0, WORD, BYTE, device=histories.device)
    words = histories.T.contiguous().unsqueeze(1)  # (W, 1, H)
    cut = ((words >> shift.unsqueeze(1)) & (VALUES - 1)).flatten(0, 1)  # (8 W, H), youngest byte first
    used = -(-length // BYTE)
    return cut[:used] + torch.arange(0, used * VALUES, VALUES, device=histories.device).unsqueeze(1)


@functools.lru_cache(maxsize=64)
def byte_table(length: int, ratio: float, now: bool, nearest: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the contribution of every value of every byte to a trace with dt / tau = ratio, (K / 8 * 256,)."""
    used = -(-length // BYTE)
    kernel = torch.zeros(used * BYTE, dtype=torch.float64)
    kernel[:length] = exponential_kernel(length, ratio)
    kernel[0] *= now
    bits = (torch.arange(VALUES).unsqueeze(1) >> torch.arange(BYTE)) & 1  # (256, 8)
    parts = kernel.view(used, 1, BYTE) * bits  # (K / 8, 256, 8)
    joined = parts.amax(dim=2) if nearest else parts.sum(dim=2)
    return joined.flatten().to(device, dtype)


def exponential_kernel(length: int, ratio: float) -> Tensor:
    """Return exp(-age * ratio) for ages 0 ... length - 1, float64 (K,)."""
    return torch.exp(-ratio * torch.arange(length, dtype=torch.float64))


def pre_at_post_spike(events: SynapseEvents, trace: Tensor) -> Tensor:
    """Return the trace (H,) of the pre neuron where the post neuron fired, 0 elsewhere: (E,)."""
    return of_pre(events, trace) * (events.kind != KIND_PRE)


def post_at_pre_spike(events: SynapseEvents, trace: Tensor) -> Tensor:
    """Return the trace (H,) of the post neuron where the pre neuron fired, 0 elsewhere: (E,)."""
    return of_post(events, trace) * (events.kind != KIND_POST)


def of_pre(events: SynapseEvents | LocalState, values: Tensor) -> Tensor:
    """Return a value per distinct history (H,) for the pre neuron of each event, (E,)."""
    return values.index_select(0, events.pair_pre).index_select(0, events.pair)


def of_post(events: SynapseEvents | LocalState, values: Tensor) -> Tensor:
    """Return a value per distinct history (H,) for the post neuron of each event, (E,)."""
    return values.index_select(0, events.pair_post).index_select(0, events.pair)
