"""The BCM rule: its threshold against a loop, and what the theory says about it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.rules.bcm import BCM
from snn_plasticity_gym.rules.traces import of_post


def slow_threshold(bits, rule: BCM) -> float:
    """theta by a loop over steps, raised and decayed."""
    trace, mean = 0.0, 0.0
    keep = math.exp(-rule.dt / rule.tau_theta)
    for bit in bits:
        mean = keep * mean + (1 - keep) * trace**2
        trace = (trace + bit) * math.exp(-rule.dt / rule.tau_post)
    return rule.theta_min + mean / rule.target


@settings(max_examples=50)
@given(st.data())
def test_the_change_is_the_trace_times_the_excess_over_the_threshold(make_events, data):
    length = data.draw(st.sampled_from([3, 20, 70]))
    history = st.lists(st.integers(0, 1), min_size=length, max_size=length)
    pre, post = data.draw(history), data.draw(history)
    pre[-1] |= 1 - post[-1]
    coincident = data.draw(st.booleans())
    rule = BCM(
        dt=0.5, tau_pre=7.0, tau_post=11.0, tau_theta=30.0, target=0.6, theta_min=0.2, learning_rate=0.3, scale=0.1,
        coincident=coincident,
    )  # fmt: skip
    events = make_events([pre], [post], torch.tensor([1000.0], dtype=torch.float64))
    theta = slow_threshold(post, rule)
    if post[-1]:
        assert of_post(events, rule.threshold(events)).item() == pytest.approx(theta, rel=1e-9)
    ages = range(length - 1, -1, -1)
    x = sum(bit * math.exp(-age * 0.5 / 7.0) for bit, age in zip(pre, ages, strict=True) if age or coincident)
    y = sum(bit * math.exp(-age * 0.5 / 11.0) for bit, age in zip(post, ages, strict=True) if age)
    assert rule(events).item() == pytest.approx(3.0 * post[-1] * x * (y - theta), rel=1e-9, abs=1e-12)


def at_activity(past: float, recent: float, make_events, rule: BCM) -> tuple[float, float]:
    """Mean weight change and mean threshold of neurons that fired with one rate for long, another for 20 steps."""
    count = 4000
    generator = torch.Generator().manual_seed(11)
    rate = torch.cat([torch.full((380,), past), torch.full((20,), recent)])
    post = (torch.rand(count, 400, generator=generator) < rate).to(torch.uint8)
    pre = (torch.rand(count, 400, generator=generator) < 0.05).to(torch.uint8)
    post[:, -1] = 1
    events = make_events(pre, post, torch.full((count,), 0.5, dtype=torch.float64))
    return rule(events).mean().item(), of_post(events, rule.threshold(events)).mean().item()


def test_low_activity_depresses_high_activity_potentiates_and_the_threshold_slides(make_events):
    rule = BCM(scale=1.0)
    low, _ = at_activity(0.05, 0.005, make_events, rule)
    high, _ = at_activity(0.05, 0.15, make_events, rule)
    assert low < 0 < high
    # The same recent activity depresses after a busy past and potentiates after a quiet one.
    after_quiet, quiet_threshold = at_activity(0.01, 0.05, make_events, rule)
    after_busy, busy_threshold = at_activity(0.12, 0.05, make_events, rule)
    assert after_busy < 0 < after_quiet
    assert quiet_threshold < busy_threshold


def test_a_constant_rate_has_the_threshold_of_its_moments(make_events):
    """E y^2 of Bernoulli spikes: mean squared plus variance, here in steps of dt."""
    rate, decay = 0.04, math.exp(-1 / 20)
    _, threshold = at_activity(rate, rate, make_events, BCM(target=0.5, tau_theta=40.0))
    mean = rate * decay / (1 - decay)
    variance = rate * (1 - rate) * decay**2 / (1 - decay**2)
    assert threshold == pytest.approx((mean**2 + variance) / 0.5, rel=0.03)


def test_a_silent_past_gives_the_smallest_threshold_and_only_post_spikes_act(pair_at):
    rule = BCM(theta_min=0.3, learning_rate=1.0, scale=1.0)
    assert rule(pair_at(4)).item() == pytest.approx(-0.3 * math.exp(-4 / 20))  # y = 0
    assert rule(pair_at(-4)).item() == 0.0
