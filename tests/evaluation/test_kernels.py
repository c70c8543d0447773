"""A rule as a kernel: closed forms of hand-written rules, and slow computations by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.evaluation.kernels import pair_window, rate_response
from snn_plasticity_gym.evaluation.probes import Site, answers
from snn_plasticity_gym.evaluation.stdp_fit import fit_window
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.registry import make_rule

SITE = Site("input_to_exc", projection=0, group=0, dt=1.0, history_length=40)
WEIGHTS = np.array([0.2, 0.5, 0.8])


def test_the_kernel_of_pair_stdp_is_its_closed_form():
    rule = make_rule("stdp", learning_rate=0.005, alpha=0.7, tau_plus=17.0, tau_minus=34.0)
    window = pair_window(rule, SITE, WEIGHTS)
    delays = np.arange(-39.0, 40.0)
    expected = np.where(delays > 0, 0.5 * np.exp(-delays / 17), -0.35 * np.exp(delays / 34)) * (delays != 0)
    np.testing.assert_array_equal(window.delays, delays)
    np.testing.assert_allclose(window.change, np.tile(expected, (3, 1)), atol=2e-7)
    np.testing.assert_array_equal([window.pre_alone, window.post_alone], np.zeros((2, 3)))


def test_the_kernel_of_multiplicative_stdp_depends_on_the_weight():
    window = pair_window(make_rule("stdp-multiplicative"), SITE, WEIGHTS)
    after, before = window.delays == 5, window.delays == -5
    np.testing.assert_allclose(window.change[:, after][:, 0], (1 - WEIGHTS) * np.exp(-5 / 20), rtol=1e-5)
    np.testing.assert_allclose(window.change[:, before][:, 0], -WEIGHTS * np.exp(-5 / 20), rtol=1e-5)


def test_what_spikes_do_alone_is_no_part_of_the_interaction():
    """target-stdp weakens at every post spike; only the pre trace is the pair's."""
    rule = make_rule("target-stdp", mu=0.0, x_tar=0.4, learning_rate=0.01, coincident=False)
    window = pair_window(rule, SITE, np.array([0.5]))
    np.testing.assert_allclose([window.pre_alone[0], window.post_alone[0]], [0.0, -0.4], atol=1e-6)
    expected = np.where(window.delays > 0, np.exp(-window.delays / 20), 0.0)
    np.testing.assert_allclose(window.interaction[0], expected, atol=1e-6)


def test_steps_of_other_lengths_are_other_delays():
    site = SITE._replace(dt=2.0, history_length=10)
    window = pair_window(make_rule("stdp", dt=2.0), site, np.array([0.5]))
    np.testing.assert_array_equal(window.delays, 2.0 * np.arange(-9, 10))
    np.testing.assert_allclose(window.change[0][window.delays == 6], np.exp(-6 / 20), rtol=1e-6)


@given(
    a=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)),
    signs=st.tuples(st.sampled_from((-1, 1)), st.sampled_from((-1, 1))),
    tau=st.tuples(st.floats(1.0, 150.0), st.floats(1.0, 150.0)),
)
@settings(max_examples=60)
def test_the_fit_recovers_a_window(a, signs, tau):
    delays = np.arange(-39.0, 40.0)
    plus, minus = a[0] * signs[0], a[1] * signs[1]
    rise, fall = plus * np.exp(-abs(delays) / tau[0]), -minus * np.exp(-abs(delays) / tau[1])
    fit = fit_window(delays, np.where(delays > 0, rise, fall))
    np.testing.assert_allclose([fit.a_plus, fit.a_minus, fit.tau_plus, fit.tau_minus], [plus, minus, *tau], rtol=1e-4)
    assert fit.r_squared > 0.999 and fit.at_bound == (False, False)
    np.testing.assert_allclose(fit.window(delays[delays > 0]), rise[delays > 0], rtol=1e-4)


def test_the_fit_of_a_rules_kernel_has_its_parameters():
    rule = make_rule("stdp", learning_rate=0.004, alpha=1.5, tau_plus=12.0, tau_minus=25.0)
    window = pair_window(rule, SITE, np.array([0.5]))
    fit = fit_window(window.delays, window.interaction[0])
    assert fit.r_squared > 0.999
    np.testing.assert_allclose([fit.a_plus, fit.a_minus, fit.tau_plus, fit.tau_minus], [0.4, 0.6, 12, 25], rtol=1e-3)


def test_what_is_no_window_is_not_called_one():
    delays = np.arange(-39.0, 40.0)
    noise = fit_window(delays, np.random.default_rng(0).normal(size=79))
    assert noise.r_squared < 0.2
    nothing = fit_window(delays, np.zeros(79))
    assert np.isnan(nothing.r_squared) and nothing.a_plus == nothing.a_minus == 0
    flat = fit_window(delays, np.where(delays > 0, 0.3, -np.exp(delays / 10)))
    assert flat.at_bound == (True, False) and flat.tau_minus == pytest.approx(10, rel=1e-3)


def test_a_window_needs_two_delays_on_a_side():
    with pytest.raises(ValueError, match="history_length"):
        fit_window(np.array([-1.0, 0.0, 1.0]), np.zeros(3))


class Seen:
    """Writes down what it is asked, and answers with a fixed rule of what can be seen."""

    def __init__(self) -> None:
        self.events: list[SynapseEvents] = []

    def __call__(self, events: SynapseEvents) -> torch.Tensor:
        self.events.append(events)
        bits = events.history().float()  # (E, 2, K)
        return 0.1 * bits[:, 0].sum(1) - 0.01 * bits[:, 1].sum(1) + events.weight + events.group


def test_a_rule_sees_the_trains_step_by_step():
    pre = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
    post = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
    rule, site = Seen(), Site("x", 2, 0, 1.0, 3, extra_names=("factor",))
    told = answers(rule, site, pre, post, torch.tensor([0.25, -0.5]), torch.tensor([[7.0], [8.0]]))
    # synapse 0: spikes at 0 (pre), 2 (post), 3 (both); the window is three steps
    expected = torch.tensor([[0.35, 0.0, 0.1 - 0.01 + 0.25, 0.1 - 0.02 + 0.25, 0.0], [0, 0, -0.4, 0, -0.41]])
    torch.testing.assert_close(told, expected)
    kinds = [events.kind.tolist() for events in rule.events]
    assert kinds == [[KIND_PRE], [KIND_POST, KIND_PRE], [KIND_BOTH], [KIND_POST]]
    assert [events.synapse.tolist() for events in rule.events] == [[0], [0, 1], [0], [1]]
    assert rule.events[1].extras.flatten().tolist() == [7.0, 8.0]
    assert all((events.projection == 2).all() and (events.histories[0] == 0).all() for events in rule.events)


def test_split_kinds_are_asked_one_after_the_other_by_heads_of_their_own():
    rule, site = Seen(), Site("x", 0, 4, 1.0, 3, sides=(0, 1))
    both = torch.ones(1, 1, dtype=torch.uint8)
    told = answers(rule, site, both, both, torch.tensor([-4.5]))
    assert [(events.kind.item(), events.group.item()) for events in rule.events] == [(KIND_PRE, 4), (KIND_POST, 5)]
    torch.testing.assert_close(told, torch.tensor([[-0.41 + 0.59]]))


def test_answers_are_clipped_as_in_the_environment():
    one = torch.ones(1, 1, dtype=torch.uint8)
    assert answers(lambda events: events.weight * 9, SITE, one, one, torch.tensor([0.5])).item() == 1.0


def test_responses_to_bursts_are_those_of_a_loop_over_synapses():
    rule, rates = make_rule("stdp", learning_rate=0.001), np.array([0.0, 40.0, 160.0])
    response = rate_response(rule, SITE, 0.5, rates, trials=7, seed=3)
    drawn = torch.rand(2, 7, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for i, pre_rate in enumerate(rates):
        for j, post_rate in enumerate(rates):
            pre, post = drawn[0] < pre_rate / 1000, drawn[1] < post_rate / 1000
            sums = []
            for one, two in zip(pre.tolist(), post.tolist(), strict=True):
                up = sum(0.1 * np.exp(-(b - a) / 20) for a in range(40) for b in range(a + 1, 40) if one[a] and two[b])
                down = sum(
                    0.1 * np.exp(-(a - b) / 20) for b in range(40) for a in range(b + 1, 40) if one[a] and two[b]
                )
                sums.append(up - down)
            assert response.change[i, j] == pytest.approx(np.mean(sums), abs=1e-5)
            assert response.error[i, j] == pytest.approx(np.std(sums, ddof=1) / 7**0.5, abs=1e-5)


def test_bcm_bends_from_weakening_to_strengthening():
    rates = np.linspace(0, 200, 5)
    site = SITE._replace(history_length=100)
    response = rate_response(make_rule("bcm", target=2.0, tau_theta=1e4, theta_min=1.0), site, 0.5, rates, trials=40)
    curve = response.change[2]  # against the post rate
    assert curve[0] == 0 and curve[1] < -3 * response.error[2, 1] and curve[4] > 3 * response.error[2, 4]


def test_rates_beyond_a_spike_a_step_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1000 Hz, got 0 to 1500"):
        rate_response(make_rule("stdp"), SITE, 0.5, np.array([0.0, 1500.0]))
