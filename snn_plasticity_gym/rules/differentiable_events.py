"""What rules of synapse events have in common where gradients pass through a network's lifetime.

What they do to weights is what the environment makes of the same rule, with event_kinds "merged", and with a history
as long as the episode.

Axes: B lifetimes, U time constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class EventState(NamedTuple):
    """What a rule of events carries from step to step."""

    weights: Tensor  # (B, n_pre, n_post)
    pre: Tensor  # (U, B, n_pre) traces, as the events of the next step see them
    post: Tensor  # (U, B, n_post)


class DifferentiableEvents(nn.Module):
    """Moves the weights of synapses one of whose neurons fires, at the end of a step, as in the environment

        w <- clip(w + scale * delta, low, high)

    with traces of spikes before the present step. So delta is a function of who fires, s_pre and s_post, 0 or 1. Its
    derivative by a spike is taken of the function that is linear in either,

        s_pre (1 - s_post) delta(1, 0) + (1 - s_pre) s_post delta(0, 1) + s_pre s_post delta(1, 1),

    and is then the difference that the spike makes.

    Args:
        taus: Time constants of the traces that the rule sees, in ms.
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
        """(n_pre, n_post) of a rule that fits no other layer; else ()."""
        return ()

    @property
    def decays(self) -> list[float]:
        """What is left of each trace after a step, (U,)."""
        return [math.exp(-self.dt / tau) for tau in self.taus]

    def answer(self, state: EventState, pre: bool, post: bool) -> Tensor:
        """Return delta of all synapses if the pre, if the post neuron fires, (B, n_pre, n_post)."""
        raise NotImplementedError

    def begin(self, weights: Tensor) -> Tensor:
        """Return the weights with which lifetimes begin: those given, within the limits."""
        return self._held(weights)

    def initial(self, weights: Tensor, batch: int) -> EventState:
        """Return the state of `batch` lifetimes that begin with these weights, (n_pre, n_post)."""
        traces = [weights.new_zeros(len(self.taus), batch, size) for size in weights.shape]
        return EventState(self.begin(weights).expand(batch, *weights.shape), *traces)

    def effective(self, weights: Tensor, state: EventState) -> Tensor:
        """Return the weights as they are by now, (B, n_pre, n_post)."""
        del weights
        return state.weights

    def before_spikes(self, state: EventState, pre: Tensor, post: Tensor) -> EventState:
        """Return the state as it is: events are spikes."""
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
        """Hold weights within the limits; gradients pass on a limit, where `clamp` would stop them, and not beyond."""
        return torch.where(weights < self.low, self.low, torch.where(weights > self.high, self.high, weights))
