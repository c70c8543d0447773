"""Intervals against SciPy's, and the table."""

import math

import numpy as np
import pytest
from scipy import stats

from snn_plasticity_gym.evaluation.disturbances import Request
from snn_plasticity_gym.evaluation.robustness import difference, draw_robustness, interval, robustness_table

RNG = np.random.default_rng(0)


def test_intervals_are_students_and_welchs():
    one, other = RNG.normal(1.0, 1.0, (6, 3)), RNG.normal(0.0, 3.0, (4, 3))
    expected = stats.ttest_1samp(one.mean(axis=1), 0.0).confidence_interval()
    assert interval(one) == pytest.approx((one.mean(), *expected))
    expected = stats.ttest_ind(one.mean(axis=1), other.mean(axis=1), equal_var=False).confidence_interval()
    assert difference(one, other) == pytest.approx((one.mean() - other.mean(), *expected))


def test_one_network_is_judged_by_its_draws_and_one_number_by_nothing():
    draws = RNG.normal(size=(1, 5))
    assert interval(draws) == pytest.approx((draws.mean(), *stats.ttest_1samp(draws[0], 0.0).confidence_interval()))
    alone = interval(np.array([[0.5]]))
    assert alone.mean == 0.5 and math.isnan(alone.low) and math.isnan(difference(draws, np.array([[0.5]])).low)
    same = np.full((3, 2), 200.0)
    assert interval(same) == (200.0, 200.0, 200.0) and difference(same, same) == (0.0, 0.0, 0.0)


def test_the_table_has_a_row_for_each_level_and_says_what_the_first_has_ahead(tmp_path):
    kinds = [Request("salt", (0.1, 0.2)), Request("world.pole_length", (3.0,))]
    clean = {"a": np.full((2, 1), 0.9), "b": np.full((2, 1), 0.8)}
    found = {(group, kind.name, level): clean[group] - 0.1 for group in "ab" for kind in kinds for level in kind.levels}
    lines = robustness_table(found, ["a", "b"], clean, kinds, 100.0).splitlines()
    assert lines[0] == "| disturbance | level | a | b | a − b |"
    assert lines[2] == "| none |  | 90.0 [90.0, 90.0] | 80.0 [80.0, 80.0] | +10.0 [+10.0, +10.0] |"
    assert [line.split(" | ")[1] for line in lines[3:]] == ["0.1", "0.2", "3"]
    draw_robustness(found, ["a", "b"], clean, kinds, tmp_path / "figure.png", "accuracy (%)", 100.0)
    assert (tmp_path / "figure.png").stat().st_size > 5000
