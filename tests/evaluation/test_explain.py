"""What explains a rule: known rules are found again, and chance explains nothing."""

import math

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation import explain as explaining
from snn_plasticity_gym.evaluation.event_sample import EventSample, sample_events
from snn_plasticity_gym.evaluation.explain import NETWORKS, candidates, distilled, explain
from snn_plasticity_gym.evaluation.stdp_fit import r_squared
from snn_plasticity_gym.rules.distilled import DistilledRule, Term
from snn_plasticity_gym.rules.registry import make_rule

SETTINGS = {"dataset": "digits", "n_exc": 12, "num_steps": 40, "history_length": 40, "gain_input_exc": 8.0}


def sample_of(rule, env_id="SNNPlastic-Unsup2-v0", settings=SETTINGS, size=1500) -> EventSample:
    return sample_events(rule, env_id, environment_config(env_id, **settings), NETWORKS, 2, size, seed=0)


@pytest.fixture(scope="module")
def sample() -> EventSample:
    """Events under no rule at all; tests put answers of their own in."""
    return sample_of(make_rule("zero"))


def answered_by(sample: EventSample, rule) -> EventSample:
    return sample._replace(delta_d=rule(sample.events).clamp(-1, 1))


def test_a_formula_of_the_library_is_found_again(sample):
    truth = [
        [Term(0.02, ("post", "x20")), Term(-0.01, ("pre", "y10", "w"))],
        [Term(-0.05, ("pre",)), Term(0.3, ("post", "w", "w"))],
    ]
    answered = answered_by(sample, DistilledRule(truth, 1.0, []))
    found = explain(answered, 0.01)
    assert [one.head for one in found] == ["exc", "inh"]
    for one in found:
        assert one.r_squared > 0.99 and len(one.terms) <= 4
        np.testing.assert_allclose(one.formula, one.answers, atol=0.03 * np.abs(one.answers).max())
    assert {term.factors for term in found[0].terms} == {term.factors for term in truth[0]}
    for term in found[0].terms:
        assert term.coefficient == pytest.approx({b: a for a, b in truth[0]}[term.factors], rel=0.05)


@pytest.mark.parametrize("name", ["stdp", "oja", "bcm", "target-stdp"])
def test_a_hand_written_rule_explains_itself(sample, name):
    rule = make_rule(name)
    rows = explain(answered_by(sample, lambda events: 0.3 * rule(events).clamp(-1, 1) + 0.1), 0.01)
    for row in rows:
        if not math.isnan(row.rules[name]):
            assert row.rules[name] > 0.999 and max(row.rules, key=row.rules.get) in (name, "stdp-multiplicative")
    assert not math.isnan(rows[0].rules[name])


def test_chance_explains_nothing_and_constants_have_no_variance(sample):
    noise = sample._replace(delta_d=torch.randn(len(sample.delta_d), generator=torch.Generator().manual_seed(0)) * 0.1)
    for row in explain(noise, 0.01):
        assert row.r_squared < 0.03 and max(row.rules.values()) < 0.03
    still = explain(sample, 0.01)
    assert all(math.isnan(row.r_squared) and row.terms == [] for row in still)


def test_the_test_network_has_no_part_in_the_fit(sample):
    """Answers of the last network are another rule's: the formula keeps to the first ones', and fails there."""
    last = sample.network == NETWORKS - 1
    one, other = (make_rule("stdp", learning_rate=rate, alpha=1.0) for rate in (0.001, 0.0005))
    delta_d = torch.where(last, -other(sample.events), one(sample.events))
    row = explain(sample._replace(delta_d=delta_d), 0.01)[0]
    assert row.r_squared < 0 and row.rules["stdp"] < 0
    again = explain(sample._replace(delta_d=torch.where(last, torch.zeros_like(delta_d), delta_d)), 0.01)[0]
    assert again.terms == row.terms


def test_formulas_make_a_rule_that_answers_as_they_do(sample):
    answered = answered_by(sample, make_rule("stdp"))
    found = explain(answered, 0.01)
    rule = distilled(found, answered)
    for head, one in enumerate(found):
        part = answered.take(
            ((answered.events.group == head) & (answered.network == NETWORKS - 1)).nonzero().squeeze(1)
        )
        np.testing.assert_allclose(rule(part.events).clamp(-1, 1).numpy(), one.formula, rtol=1e-5, atol=1e-7)
    nothing = distilled(found[:1], answered)
    assert nothing.heads[1] == []


def test_further_scalars_are_terms():
    settings = {"dataset": "digits", "hidden_sizes": (8,), "third_factor": "feedback", "w_init": 6.0, "eta": 0.01}
    (row,) = explain(sample_of(make_rule("delta"), "SNNPlastic-Semi-v0", settings), 0.01)
    assert row.rules["delta"] > 0.999 and row.r_squared > 0.999
    assert [term.factors for term in row.terms] == [("pre", "factor")]
    assert row.terms[0].coefficient == pytest.approx(1.0, rel=1e-4)


def test_candidates_stay_within_the_history():
    names = {name for term in candidates(2.0, 16, ["layer"]) for name in term}
    assert names == {"pre", "post", "w", "layer", "xn", "yn"} | {f"{side}{tau}" for side in "xy" for tau in (4, 10, 20)}
    assert len(set(candidates(1.0, 100, []))) == len(candidates(1.0, 100, []))


def test_heads_with_few_events_are_left_out(sample):
    few = sample.take(torch.cat([sample.of(0), sample.of(1)[:100]]))
    assert [row.head for row in explain(few, 0.01)] == ["exc"]


def test_r_squared_of_known_numbers():
    told = np.array([1.0, 2.0, 3.0])
    assert r_squared(told, told) == 1.0 and r_squared(told, np.full(3, 2.0)) == 0.0
    assert r_squared(told, np.array([1.0, 2.0, 2.0])) == 0.5 and math.isnan(r_squared(np.ones(3), told))


def test_rules_that_need_a_scalar_which_events_do_not_show_are_left_out(sample, monkeypatch):
    answered = answered_by(sample, make_rule("stdp"))
    assert "delta" not in explain(answered, 0.01)[0].rules
    monkeypatch.setattr(explaining, "RULES", {"stdp": None, "mine": None})
    mine = {"mine": lambda events: events.scalar("factor"), "stdp": make_rule("stdp")}
    monkeypatch.setattr(explaining, "read_rule", lambda name, **_: mine[name])
    assert list(explain(answered, 0.01)[0].rules) == ["stdp"]
