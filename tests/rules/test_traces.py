"""Traces against a sum over single spikes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.rules.traces import Traces, of_post, of_pre, post_at_pre_spike, pre_at_post_spike


def slow_trace(bits: list[int], tau: float, dt: float, now: bool, nearest: bool) -> float:
    """Of one history, oldest step first."""
    ages = [len(bits) - 1 - step for step, bit in enumerate(bits) if bit]
    ages = [age for age in ages if age > 0 or now]
    if nearest:
        ages = sorted(ages)[:1]
    return sum(math.exp(-age * dt / tau) for age in ages)


@settings(max_examples=60)
@given(st.data())
def test_a_trace_is_the_sum_over_past_spikes(make_events, data):
    length = data.draw(st.sampled_from([1, 2, 7, 8, 9, 16, 63, 64, 65, 100, 130]))
    history = st.lists(st.integers(0, 1), min_size=length, max_size=length)
    pre, post = (data.draw(st.lists(history, min_size=3, max_size=3)) for _ in range(2))
    for row in range(3):
        pre[row][-1] |= 1 - post[row][-1]
    tau, dt = data.draw(st.sampled_from([(20.0, 1.0), (3.0, 0.5), (500.0, 2.0), (0.01, 1.0)]))
    now, nearest = data.draw(st.booleans()), data.draw(st.booleans())
    events = make_events(pre, post, torch.ones(3, dtype=torch.float64))
    trace = Traces(events, dt).exponential(tau, now=now, nearest=nearest)
    assert trace.shape == (len(events.histories),) and trace[0] == 0
    x = [slow_trace(bits, tau, dt, now, nearest) for bits in pre]
    y = [slow_trace(bits, tau, dt, now, nearest) for bits in post]
    assert of_pre(events, trace).tolist() == pytest.approx(x, rel=1e-12)
    assert of_post(events, trace).tolist() == pytest.approx(y, rel=1e-12)
    expected = [value * bits[-1] for value, bits in zip(x, post, strict=True)]
    assert pre_at_post_spike(events, trace).tolist() == pytest.approx(expected, rel=1e-12)
    expected = [value * bits[-1] for value, bits in zip(y, pre, strict=True)]
    assert post_at_pre_spike(events, trace).tolist() == pytest.approx(expected, rel=1e-12)


def test_a_short_history_truncates_within_the_stated_bound(make_events):
    bits = torch.ones(1, 200)
    whole, short = (
        of_pre(events, Traces(events, 1.0).exponential(20.0)).item()
        for events in (make_events(seen, seen, torch.ones(1, dtype=torch.float64)) for seen in (bits, bits[:, -60:]))
    )
    bound = math.exp(-60 / 20) / (1 - math.exp(-1 / 20))
    assert 0.99 * bound < whole - short <= bound
