"""The triplet rule against a loop over spikes, and its dependence on frequency."""

import math

import pytest
import torch

from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.triplet_stdp import TRIPLET_FITS, TripletSTDP


def slow(pre, post, weight, *, a2_plus, a3_plus, a2_minus, a3_minus, tau_x, tau_y, pairing):
    """Eqs. 3 and 4 of Pfister & Gerstner (2006) step by step for one synapse; traces are raised after use."""
    r1 = r2 = o1 = o2 = 0.0
    for pre_spike, post_spike in zip(pre.tolist(), post.tolist(), strict=True):
        r1, r2 = r1 * math.exp(-1 / 16.8), r2 * math.exp(-1 / tau_x)
        o1, o2 = o1 * math.exp(-1 / 33.7), o2 * math.exp(-1 / tau_y)
        if post_spike:
            weight = min(weight + r1 * (a2_plus + a3_plus * o2), 1.0)
        if pre_spike:
            weight = max(weight - o1 * (a2_minus + a3_minus * r2), 0.0)
        if pre_spike:
            r1, r2 = (r1 + 1, r2 + 1) if pairing == "all" else (1.0, 1.0)
        if post_spike:
            o1, o2 = (o1 + 1, o2 + 1) if pairing == "all" else (1.0, 1.0)
    return weight


@pytest.mark.parametrize("fit", TRIPLET_FITS)
def test_random_spikes_move_weights_as_the_equations_say(live_by, trains, fit):
    pre, post = trains(3, 600, 0.04, seed=5), trains(3, 600, 0.04, seed=6)
    rule = make_rule("triplet-stdp", scale=1.0, **TRIPLET_FITS[fit])
    weights = live_by(rule, pre, post, torch.full((3,), 0.5, dtype=torch.float64), 1.0)
    expected = [slow(pre[row], post[row], 0.5, **TRIPLET_FITS[fit]) for row in range(3)]
    assert weights[-1].tolist() == pytest.approx(expected, rel=1e-10)
    assert (weights[-1] - 0.5).abs().max() > 0.01


def test_the_defaults_are_the_fit_to_visual_cortex():
    assert make_rule("triplet-stdp", **TRIPLET_FITS["visual-cortex-all"]) == TripletSTDP()


def pairing_experiment(live_by, delay: int, period: int) -> float:
    """Weight change by ten pairs, as in Sjoestroem et al. (2001)."""
    steps = 10 * period + 30
    pre, post = torch.zeros(1, steps, dtype=torch.uint8), torch.zeros(1, steps, dtype=torch.uint8)
    for start in range(10, 10 * period, period):
        pre[0, start + max(-delay, 0)] = post[0, start + max(delay, 0)] = 1
    return live_by(TripletSTDP(scale=1.0), pre, post, torch.tensor([0.5], dtype=torch.float64), 1.0)[-1, 0].item() - 0.5


def test_potentiation_needs_frequency_and_wins_at_high_frequency(live_by):
    slow_pairs, fast_pairs = (pairing_experiment(live_by, 10, period) for period in (500, 25))
    assert slow_pairs < 0.1 * fast_pairs
    # Post before pre depresses at 5 Hz, potentiates at 50 Hz.
    assert pairing_experiment(live_by, -10, 200) < 0 < pairing_experiment(live_by, -10, 20)
