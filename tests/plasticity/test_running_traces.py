"""Traces carried from step to step are those of histories, and of the sum that defines them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.plasticity.running_traces import RunningTraces


def expected(spikes: list[bool], now: int, length: int, tau: float, nearest: bool) -> float:
    ages = [now - step for step in range(max(0, now - length + 1), now) if spikes[step]]
    terms = [math.exp(-age / tau) if tau > 0 else 1.0 for age in ages]
    return (max(terms, default=0.0)) if nearest else sum(terms)


@given(
    spikes=st.lists(st.booleans(), min_size=1, max_size=30),
    length=st.integers(1, 30),
    tau=st.sampled_from([0.7, 5.0, 20.0, math.inf, 0.0]),
    nearest=st.booleans(),
    asked_from=st.integers(0, 10),
)
def test_they_are_sums_over_the_steps_that_histories_hold(spikes, length, tau, nearest, asked_from):
    traces = RunningTraces(torch.tensor(spikes).view(1, -1, 1), length, dt=1.0)
    for step in range(len(spikes)):
        if step >= asked_from:
            value = traces(tau, nearest).item()
            assert value == pytest.approx(expected(spikes, step, length, tau, nearest), abs=1e-5)
        traces.follow()
