"""Base class of rules of synapse events with gradients through a network's lifetime.

Weight changes equal the environment's for the same rule, with event_kinds "merged", and with a history as long as the
episode.

Axes: B lifetimes, U time constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class EventState(NamedTuple):
    """State of a rule of events between steps."""

    weights: Tensor  # (B, n_pre, n_post)
    pre: Tensor  # (U, B, n_pre) traces for the events of the next step
    post: Tensor  # (U, B, n_post)


class DifferentiableEvents(nn.Module):
    """Changes the weights of synapses with a pre or post spike, at the end of a step, as in the environment

        w <- clip(w + scale * delta, low, high)

    with traces of spikes before the present step. So delta is a function of the spikes s_pre and s_post, 0 or 1. Its
    derivative by a spike is that of the bilinear function,

        s_pre (1 - s_post) delta(1, 0) + (1 - s_pre) s_post delta(0, 1) + s_pre s_post delta(1, 1),

    the difference made by the spike.

    Args:
        taus: Time constants of the rule's traces, in ms.
        scale: Largest change of a weight in a step, eta of the environment.
        low: Smallest weight.
        high: Largest weight.
        dt: Step in ms.

    Raises:
        ValueError: A constant is out of range.
    """

    def __init__(self, taus: Iterable[float], scale: float, low: float, high: float, dt: float) -> None:
        super().__init__()
        if not (scale > 0 and dt > 0 and low < high):
            raise ValueError(f"scale and dt must be positive and low below high, got {scale}, {dt}, {low} and {high}")
        self.scale, self.low, self.high, self.dt = scale, low, high, dt
        self.taus = sorted(set(taus))  # (U,) ms

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_pre, n_post) of a rule with coefficients per synapse; else ()."""
        return ()

    @property
    def decays(self) -> list[float]:
        """Decay factor of each trace per step, (U,)."""
        return [math.exp(-self.dt / tau) for tau in self.taus]

    def answer(self, state: EventState, pre: bool, post: bool) -> Tensor:
        """Return delta of all synapses for given spikes of pre and post neuron, (B, n_pre, n_post)."""
        raise NotImplementedError

    def begin(self, weights: Tensor) -> Tensor:
        """Return the initial weights: those given, clipped to the limits."""
        return self._held(weights)

    def initial(self, weights: Tensor, batch: int) -> EventState:
        """Return the initial state of `batch` lifetimes with these weights, (n_pre, n_post)."""
        traces = [weights.new_zeros(len(self.taus), batch, size) for size in weights.shape]
        return EventState(self.begin(weights).expand(batch, *weights.shape), *traces)

    def effective(self, weights: Tensor, state: EventState) -> Tensor:
        """Return the present weights, (B, n_pre, n_post)."""
        del weights
        return state.weights

    def before_spikes(self, state: EventState, pre: Tensor, post: Tensor) -> EventState:
        """Return the state unchanged: events occur at spikes."""
        del pre, post
        return state

    def after_spikes(self, state: EventState, pre: Tensor, post: Tensor) -> EventState:
        """Return the state after the events of a step with these spikes, (B, n_pre) and (B, n_post)."""
        fires_pre, fires_post = pre.unsqueeze(2), post.unsqueeze(1)  # (B, n_pre, 1), (B, 1, n_post)
        delta = fires_pre * (1 - fires_post) * self.answer(state, True, False)  # (B, n_pre, n_post)
        delta = delta + (1 - fires_pre) * fires_post * self.answer(state, False, True)
        delta = delta + fires_pre * fires_post * self.answer(state, True, True)
        weights = self._held(state.weights + self.scale * delta)
        decays = state.pre.new_tensor(self.decays).view(-1, 1, 1)
        return EventState(weights, decays * (state.pre + pre), decays * (state.post + post))

    def _held(self, weights: Tensor) -> Tensor:
        """Clip weights to the limits; gradients pass at a limit, where `clamp` would stop them, and not beyond."""
        return torch.where(weights < self.low, self.low, torch.where(weights > self.high, self.high, weights))
