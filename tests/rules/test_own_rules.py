"""Rules of a user's own, by where they stand."""

from __future__ import annotations

import sys

import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.rules.own_rules import is_own_rule, own_rule

SOURCE = """
from snn_plasticity_gym import config_class, setting

NUMBER = 5

def hebb(events):
    return 0.5 * events.weight

@config_class
class Tuned:
    rate: float = setting(1.0, "Rate.", gt=0)
    scale: float = setting(0.5, "Weight change of delta_d = 1.", gt=0)

    def __call__(self, events):
        return self.rate * events.weight

class Plain:
    modulation = "reward"

    def __init__(self, dt, seed=3):
        self.dt, self.seed = dt, seed

    def __call__(self, events):
        return events.weight

class Silent:
    pass
"""
KNOWN = {"dt": 0.5, "scale": 0.01, "seed": 7}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of rules, in the folder where the program runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine_own.py").write_text(SOURCE)
    yield "mine_own.py"
    sys.modules.pop("mine_own", None)


def test_functions_are_rules_and_classes_are_made(mine):
    assert own_rule(f"{mine}:hebb", **KNOWN) is sys.modules["mine_own"].hebb
    assert own_rule("mine_own:hebb", **KNOWN) is sys.modules["mine_own"].hebb  # the same module
    tuned = own_rule(f"{mine}:Tuned:rate=2e-1", **KNOWN)
    assert (tuned.rate, tuned.scale) == (0.2, 0.01)
    assert own_rule(f"{mine}:Tuned:scale=3", **KNOWN).scale == 3.0  # what is written wins
    plain = own_rule(f"{mine}:Plain", **KNOWN)
    assert (plain.dt, plain.seed, plain.modulation) == (0.5, 7, "reward")


def test_a_file_does_not_hide_itself(mine, tmp_path):
    sys.path.append(str(tmp_path))  # as a plugin or a module of the same folder has left it
    assert callable(own_rule(f"{mine}:hebb", **KNOWN))


def test_what_is_written_like_a_rule_of_ones_own(mine, tmp_path):
    assert is_own_rule("mine.py:hebb") and is_own_rule("a.b:Rule") and is_own_rule("mine:Rule:rate=1")
    assert (
        not is_own_rule("stdp:learning_rate=0.1") and not is_own_rule("distilled:runs/x") and not is_own_rule("runs/x")
    )
    assert not is_own_rule("stpd") and not is_own_rule("C:/runs/x")
    (tmp_path / "a:b").mkdir()
    assert not is_own_rule("a:b")  # the folder of a run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine_own.py:heb", "unknown name 'heb'; did you mean 'hebb'"),
        ("mine_own.py:NUMBER", "NUMBER must be called with events, got a int"),
        ("mine_own.py:Silent", "Silent must be called with events"),
        ("mine_own.py:hebb:rate=1", "only a class takes parameters, hebb is a function"),
        ("mine_own.py:Tuned:rat=1", "did you mean 'rate'"),
        ("mine_own.py:Tuned:rate=-1", "rate must be greater than 0, got -1"),
        ("mine_own.py:Tuned:rate", "name:key=value:key=value, got 'mine_own.py:Tuned:rate'"),
        ("mine_own.py:Plain:dt=1", "a class takes parameters if it is a @config_class, Plain is none"),
        ("nowhere.py:hebb", "there is no file nowhere.py"),
        ("nowhere_at_all:hebb", "there is no module 'nowhere_at_all'"),
        ("json.py:hebb", "would hide the module json"),
        ("broken_own.py:hebb", "broken_own.py cannot be imported: ZeroDivisionError: division by zero"),
        ("lacking_own:hebb", "lacking_own cannot be imported: ModuleNotFoundError: No module named 'not_here'"),
    ],
)
def test_mistakes_are_one_line(mine, tmp_path, text, message):
    (tmp_path / "json.py").write_text("hebb = 1")
    (tmp_path / "broken_own.py").write_text("1 / 0")
    (tmp_path / "lacking_own.py").write_text("import not_here")
    with pytest.raises(ConfigError) as caught:
        own_rule(text, **KNOWN)
    assert message in str(caught.value) and "\n" not in str(caught.value)
