"""Traces of the spikes of all neurons of a population, carried from step to step.

The same sums as `rules.traces` takes of histories, which hold the last K steps, the present one included:

    all-to-all:     x <- exp(-dt / tau) (x + s) - exp(-K dt / tau) s_K,   s the spikes of the step before, s_K those of
                    K steps before
    nearest spike:  x = exp(-age dt / tau), 0 from an age of K on, or before the first spike

Every operation is on all neurons at once, independent of the spikes, so that a GPU never synchronises.

Axes: B lifetimes, N neurons, K history length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class RunningTraces:
    """Traces of strictly earlier spikes.

    Args:
        spikes: Of the whole episode, bool (B, T, N); those of a step are filled in before `follow` is called.
        history_length: K.
        dt: Length of a time step, ms.
    """

    def __init__(self, spikes: Tensor, history_length: int, dt: float) -> None:
        self._spikes, self._length, self._dt = spikes, history_length, dt
        self._step = 0
        self._made: dict[float, Tensor] = {}  # (B, N) by time constant, as of the present step; all-to-all
        self._age = torch.full_like(spikes[:, 0], history_length, dtype=torch.int64)  # (B, N) of the last spike

    def follow(self) -> None:
        """Advance to the next step: the spikes of the present one become earlier ones."""
        now = self._spikes[:, self._step]  # (B, N)
        self._step += 1
        self._age = torch.where(now, 1, self._age + 1)
        forgotten = self._step - self._length  # step whose spikes have left the history
        for tau, trace in self._made.items():
            trace.add_(now).mul_(self._decay(tau))
            if forgotten >= 0:
                trace.sub_(self._decay(tau, self._length) * self._spikes[:, forgotten])

    def __call__(self, tau: float, nearest: bool = False) -> Tensor:
        """Return the trace of a time constant in ms, (B, N); not positive or infinite: spikes do not fade."""
        if nearest:
            return torch.exp(-self._age * self._rate(tau)) * (self._age < self._length)
        if tau not in self._made:
            self._made[tau] = self._begun(tau)
        if self._step < self._length:
            return self._made[tau]
        return self._made[tau] * (self._age < self._length)  # removes rounding errors of expired spikes

    def _begun(self, tau: float) -> Tensor:
        """Return the trace over the steps so far, (B, N)."""
        trace = torch.zeros_like(self._spikes[:, 0], dtype=torch.float32)
        for step in range(max(0, self._step - self._length + 1), self._step):
            trace += self._decay(tau, self._step - step) * self._spikes[:, step]
        return trace

    def _rate(self, tau: float) -> float:
        return self._dt / tau if tau > 0 else 0.0

    def _decay(self, tau: float, steps: int = 1) -> float:
        return math.exp(-steps * self._rate(tau))
