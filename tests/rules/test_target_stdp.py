"""The rule of Diehl & Cook (2015) case by case."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.rules.target_stdp import TargetSTDP


@settings(max_examples=50)
@given(st.data())
def test_the_change_is_the_published_equation(make_events, data):
    bits = st.lists(st.integers(0, 1), min_size=12, max_size=12)
    pre, post = data.draw(bits), data.draw(bits)
    pre[-1] |= 1 - post[-1]
    u, mu = data.draw(st.floats(0.0, 1.0)), data.draw(st.sampled_from([0.0, 0.2, 1.0]))
    bounds, coincident = data.draw(st.sampled_from(["upper", "soft"])), data.draw(st.booleans())
    w_max = data.draw(st.sampled_from([1.0, 5.0]))
    rule = TargetSTDP(learning_rate=0.03, mu=mu, tau=8.0, w_max=w_max, bounds=bounds, coincident=coincident, scale=0.5)
    expected = 0.0
    if post[-1]:
        ages = [11 - step for step, bit in enumerate(pre) if bit and (coincident or step < 11)]
        drive = 0.03 * (sum(math.exp(-age / 8.0) for age in ages) - 0.4)
        factor = u**mu if bounds == "soft" and drive < 0 else (1 - u) ** mu
        expected = max(min(drive * factor, 1 - u), -u) * w_max / 0.5
    delta_d = rule(make_events([pre], [post], torch.tensor([u * w_max], dtype=torch.float64)))
    assert delta_d.item() == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_only_post_spikes_act_and_the_target_is_the_balance(pair_at):
    assert TargetSTDP()(pair_at(-3)).item() == 0.0
    balance = math.exp(-7 / 20)
    assert TargetSTDP(x_tar=balance)(pair_at(7)).item() == pytest.approx(0.0, abs=1e-15)
    assert TargetSTDP(x_tar=balance)(pair_at(6)).item() > 0 > TargetSTDP(x_tar=balance)(pair_at(8)).item()


def test_only_soft_bounds_bring_a_full_weight_back(pair_at):
    assert TargetSTDP()(pair_at(59, 1.0)).item() == 0.0
    assert TargetSTDP(bounds="soft")(pair_at(59, 1.0)).item() < 0
