"""Formulas as rules: factors against a plain loop, files, and what is refused."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import KIND_BOTH
from snn_plasticity_gym.rules.distilled import FILE, DistilledRule, FactorTable, Term, load_distilled, written_out
from snn_plasticity_gym.rules.registry import make_rule


def batch(make_events, trains, extras: int = 1):
    """Events of random trains with a spike now, 100 steps of history, and random extras."""
    pre, post = trains(60, 100, 0.1, 0), trains(60, 100, 0.1, 1)
    pre[::3, -1] = post[1::3, -1] = 1
    pre[2::3, -1] = post[2::3, -1] = 1
    weight = torch.linspace(-1, 1, 60, dtype=torch.float64)
    events = make_events(pre, post, weight)
    return events._replace(extras=torch.arange(60.0 * extras, dtype=torch.float64).view(60, extras)), pre, post


def by_hand(name: str, pre: list[int], post: list[int], weight: float, factor: float) -> float:
    train = pre if name[0] in "xp" and name != "post" else post
    if name in ("pre", "post"):
        return train[-1]
    if name in ("w", "factor"):
        return weight if name == "w" else factor
    ages = [age for age, spike in enumerate(reversed(train)) if spike and age > 0]
    return float(len(ages)) if name[1:] == "n" else sum(math.exp(-age * 2.0 / float(name[1:])) for age in ages)


NAMES = ("pre", "post", "w", "factor", "x5", "y5", "x20.5", "y100", "xn", "yn")


def test_factors_are_what_their_names_say(make_events, trains):
    events, pre, post = batch(make_events, trains)
    table = FactorTable(events, 2.0, ["factor"])
    for name in NAMES:
        rows = zip(pre.tolist(), post.tolist(), events.weight.tolist(), events.extras[:, 0].tolist(), strict=True)
        expected = torch.tensor([by_hand(name, *row) for row in rows], dtype=torch.float64)
        torch.testing.assert_close(table((name,)), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(table(("w", "w", "xn")), events.weight**2 * table(("xn",)))
    assert (table(()) == 1).all()


def test_a_formula_can_be_pair_stdp(make_events, trains):
    events, _, _ = batch(make_events, trains)
    events = events._replace(weight=torch.full_like(events.weight, 0.5))
    some = events.kind != KIND_BOTH  # where a rule that acts twice cuts nothing off
    rule = make_rule("stdp", learning_rate=1e-4, alpha=0.5)
    formula = DistilledRule([[Term(0.01, ("post", "x20")), Term(-0.005, ("pre", "y20"))]], 1.0, [])
    torch.testing.assert_close(formula(events)[some], rule(events)[some])


def test_each_head_has_its_formula_and_unknown_heads_are_refused(make_events, trains):
    events, _, _ = batch(make_events, trains)
    events = events._replace(group=torch.arange(60) % 2)
    rule = DistilledRule([[Term(2.0, ("w",))], [Term(1.0, ()), Term(0.5, ("w",))]], 1.0, [])
    answer = rule(events)
    expected = torch.stack([2 * events.weight, 1 + 0.5 * events.weight])
    with pytest.raises(ConfigError, match=r"formulas is 2, and events are of more groups"):
        rule(events._replace(group=events.group + 1))
    torch.testing.assert_close(answer, expected[events.group, torch.arange(60)])


def test_a_saved_formula_is_the_same_rule(make_events, trains, tmp_path):
    events, _, _ = batch(make_events, trains)
    rule = DistilledRule([[Term(1 / 3, ("post", "x5", "w")), Term(-1e-9, ("pre", "factor"))]], 1.0, ["factor"])
    rule.save(tmp_path)
    again = load_distilled(tmp_path)
    assert (again.heads, again.dt, again.extra_names) == (rule.heads, 1.0, ("factor",))
    assert torch.equal(again(events), rule(events))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no formula at .*; python trainers/report.py"),
        ("{", "holds no formula"),
        ("[]", "holds no formula"),
        ({"heads": [[{"coefficient": "a", "factors": []}]], "dt": 1, "extra_names": []}, "holds no formula"),
        ({"heads": [[{"coefficient": math.nan, "factors": []}]], "dt": 1, "extra_names": []}, "must be finite"),
        ({"heads": [[{"coefficient": 1, "factors": ["z"]}]], "dt": 1, "extra_names": []}, "unknown factor 'z'"),
        ({"heads": [[{"coefficient": 1, "factors": ["x0"]}]], "dt": 1, "extra_names": []}, "unknown factor 'x0'"),
        ({"heads": [[{"coefficient": 1, "factors": ["layer"]}]], "dt": 1, "extra_names": ["factor"]}, "'layer'"),
    ],
)
def test_what_is_no_formula_is_refused_in_one_line(tmp_path, text, message):
    if text is not None:
        (tmp_path / FILE).write_text(text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(ConfigError, match=message) as error:
        load_distilled(tmp_path)
    assert "\n" not in str(error.value)


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(NAMES))))
def test_any_formula_can_be_written_out(pairs):
    text = written_out([Term(coefficient, (name,)) for coefficient, name in pairs])
    assert text and not text.startswith("+") and text.count("w") == sum(c != 0 and name == "w" for c, name in pairs)


def test_a_formula_reads_as_one_writes_it():
    terms = [Term(0.5, ("post", "x20")), Term(-0.25, ("pre", "w", "w")), Term(1.0, ())]
    assert written_out(terms) == "0.5 post x20 − 0.25 pre w² + 1"
    assert written_out(terms[1:2]) == "−0.25 pre w²" and written_out([]) == "0"
