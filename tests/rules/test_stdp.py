"""Pair STDP against NEST's formulas in plain Python, and what it is known for."""

import math

import pytest
import torch
from grids import grid

from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.stdp import MultiplicativeSTDP, PairSTDP


def nest(pre, post, weight, *, tau, rate, alpha, mu_plus, mu_minus, w_max, nearest=False, coincident=False):
    """`stdp_synapse` step by step for one synapse without delays: facilitate, then depress, then raise the traces."""
    k_plus = k_minus = 0.0
    weights = []
    for pre_spike, post_spike in zip(pre.tolist(), post.tolist(), strict=True):
        k_plus *= math.exp(-1.0 / tau)
        k_minus *= math.exp(-1.0 / tau)
        if post_spike:
            seen = k_plus if not (coincident and pre_spike) else (1.0 if nearest else k_plus + 1.0)
            norm = weight / w_max + rate * (1.0 - weight / w_max) ** mu_plus * seen
            weight = norm * w_max if norm < 1.0 else w_max
        if pre_spike:
            norm = weight / w_max - alpha * rate * (weight / w_max) ** mu_minus * k_minus
            weight = norm * w_max if norm > 0.0 else 0.0
        k_plus = (1.0 if nearest else k_plus + 1.0) if pre_spike else k_plus
        k_minus = (1.0 if nearest else k_minus + 1.0) if post_spike else k_minus
        weights.append(weight)
    return weights


@pytest.mark.parametrize(
    ("exponents", "nearest", "coincident"),
    grid([(0.0, 0.0), (1.0, 1.0), (0.4, 0.7), (0.0, 1.0)], [False, True], [False, True]),
)
def test_a_second_of_random_spikes_moves_weights_as_nest_does(live_by, trains, exponents, nearest, coincident):
    count, steps, w_max, scale = 4, 1000, 1000.0, 500.0
    pre, post = trains(count, steps, 0.05, seed=1), trains(count, steps, 0.05, seed=2)
    rates = {"mu_plus": exponents[0], "mu_minus": exponents[1], "alpha": 1.1, "w_max": w_max}
    pairing = "nearest" if nearest else "all"
    rule = PairSTDP(learning_rate=0.01, scale=scale, pairing=pairing, coincident=coincident, **rates)
    weights = live_by(rule, pre, post, torch.full((count,), 500.0, dtype=torch.float64), scale)
    assert (pre & post).any(), "the order within a step is to be seen"
    for row in range(count):
        expected = nest(
            pre[row], post[row], 500.0, tau=20.0, rate=0.01, nearest=nearest, coincident=coincident, **rates
        )
        assert weights[:, row].tolist() == pytest.approx(expected, rel=1e-11)
    assert (weights.std(dim=0) > 1.0).all()


def test_weights_stop_at_the_bounds_as_in_nest(live_by, trains):
    rates = {"mu_plus": 0.0, "mu_minus": 0.0, "w_max": 1000.0}
    pre, post = trains(3, 400, 0.1, seed=3), trains(3, 400, 0.1, seed=4)
    for alpha, bound in ((0.2, 1000.0), (3.0, 0.0)):
        rule = PairSTDP(learning_rate=0.05, scale=5000.0, alpha=alpha, **rates)
        weights = live_by(rule, pre, post, torch.full((3,), 500.0, dtype=torch.float64), 5000.0, w_min=-math.inf)
        assert ((weights - bound).abs() < 0.01).any() and weights.min() >= 0 and weights.max() <= 1000.0
        for row in range(3):
            expected = nest(pre[row], post[row], 500.0, tau=20.0, rate=0.05, alpha=alpha, **rates)
            assert weights[:, row].tolist() == pytest.approx(expected, rel=1e-9, abs=0.02)  # 0 is 1e-6 scale


@pytest.mark.parametrize("delay", [1, 2, 10, 40])
def test_the_order_of_spikes_decides_the_sign(pair_at, delay):
    rule = PairSTDP(tau_plus=10.0, tau_minus=30.0, alpha=0.5, learning_rate=0.02, scale=0.1)
    assert rule(pair_at(delay)).item() == pytest.approx(0.2 * math.exp(-delay / 10.0))
    assert rule(pair_at(-delay)).item() == pytest.approx(-0.1 * math.exp(-delay / 30.0))


def test_spikes_of_one_step_are_a_pair_only_on_demand(pair_at):
    assert PairSTDP()(pair_at(0)).item() == 0.0
    assert PairSTDP(coincident=True)(pair_at(0)).item() == pytest.approx(1.0)


def test_exponents_make_it_additive_or_multiplicative(pair_at):
    full = math.exp(-5 / 20)
    for weight in (0.2, 0.9):
        assert PairSTDP(learning_rate=1e-6, scale=1e-6)(pair_at(5, weight)).item() == pytest.approx(full)
        soft = MultiplicativeSTDP(learning_rate=1e-6, scale=1e-6)
        assert soft(pair_at(5, weight)).item() == pytest.approx(full * (1 - weight))
        assert soft(pair_at(-5, weight)).item() == pytest.approx(-full * weight)


def test_small_changes_survive_single_precision(make_events, pair_at):
    events = pair_at(5)
    rule = PairSTDP(learning_rate=1e-7, scale=1e-7)
    delta_d = rule(events._replace(weight=events.weight.float()))
    assert delta_d.dtype == torch.float32 and delta_d.item() == pytest.approx(math.exp(-0.25), rel=1e-6)


def test_inhibitory_synapses_mirror_excitatory_ones(pair_at):
    rule = make_rule("stdp-multiplicative")
    for delay in (3, -3):
        assert rule(pair_at(delay, -0.3)).item() == pytest.approx(-rule(pair_at(delay, 0.3)).item())
        fixed = make_rule("stdp-multiplicative", inhibitory="fixed")
        assert fixed(pair_at(delay, -0.3)).item() == 0.0
        assert fixed(pair_at(delay, 0.3)).item() == rule(pair_at(delay, 0.3)).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_depression_without_end_keeps_the_sign(pair_at, dtype):
    rule, scale = PairSTDP(alpha=40.0, scale=0.3), 0.3
    events = [pair_at(-1, weight) for weight in (0.7, -0.7, 0.123, -0.0456)]
    events = [one._replace(weight=one.weight.to(dtype)) for one in events]
    for one in events:
        first = one.weight
        for _ in range(20):
            one = one._replace(weight=one.weight + scale * rule(one).clamp(-1, 1))
        assert 0 < (one.weight * first.sign()).item() < 1e-6
