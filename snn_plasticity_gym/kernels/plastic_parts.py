"""Shared parts of loops over plastic layers: traces forwards and backwards, and sums over synapses of a neuron."""

from __future__ import annotations

from snn_plasticity_gym.kernels.compile import inlined


@inlined(fast_sums=True)
def follow(trace, spikes, decay, rise):
    """Add the spikes of a step, as `alpha_step`."""
    for i in range(len(spikes)):
        fresh = trace[1, i] + spikes[i]
        trace[0, i] = decay * (trace[0, i] + rise * fresh)
        trace[1, i] = decay * fresh


@inlined(fast_sums=True)
def unfollow(bar_trace, decay, rise):
    """Backpropagate through `follow`; the derivative by the spikes is then that by the rise, `bar_trace[1]`."""
    for i in range(bar_trace.shape[1]):
        bar_trace[1, i] = decay * (rise * bar_trace[0, i] + bar_trace[1, i])
        bar_trace[0, i] *= decay


@inlined(fast_sums=True)
def clip(limit, values, clipped):
    """Compute the values, clipped to [-limit, limit]."""
    for i in range(len(values)):
        clipped[i] = min(max(values[i], -limit), limit)


@inlined()
def copy(values, into):
    """Copy the values."""
    for i in range(len(values)):
        into[i] = values[i]


@inlined(fast_sums=True)
def add(total, factor, values):
    """Add factor * values to a total."""
    for i in range(len(total)):
        total[i] += factor * values[i]


@inlined(fast_sums=True)
def dot(a, b):
    """Return the inner product of two vectors."""
    total = a[0] * b[0]
    for i in range(1, len(a)):
        total += a[i] * b[i]
    return total
