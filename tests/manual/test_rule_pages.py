"""The page of hand-written rules."""

import re

import numpy as np
import pytest
from rule_pages import RULES, WEIGHTS, section_of, window

from snn_plasticity_gym.config.schema import setting_fields


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_its_parameters(name):
    text = section_of(name, RULES[name])
    assert re.findall(r"^\| `(\w+)`", text, re.M) == [info.name for info in setting_fields(RULES[name])]
    assert text.startswith(f"## {name}\n")


def test_equations_are_shown_as_such():
    assert "```text\npost spike: u <- min(u + lambda" in section_of("stdp", RULES["stdp"])


def test_the_window_of_stdp_is_that_of_the_theory():
    """Song, Miller & Abbott (2000): exp(-|delay| / tau), positive where pre comes before post."""
    shown = window("stdp")
    delay = np.array([-20.0, -5.0, 5.0, 20.0])
    expected = np.sign(delay) * np.exp(-np.abs(delay) / 20.0)
    places = [list(shown.delays).index(value) for value in delay]
    for change in shown.change:
        np.testing.assert_allclose(change[places], expected, rtol=1e-5)
    assert len(shown.change) == len(WEIGHTS)


def test_the_factor_moves_the_delta_rule():
    assert (window("delta").pre_alone > 0).all()
