"""Learning curves: what is drawn."""

from pathlib import Path

import numpy as np
import pytest

from snn_plasticity_gym.report.curves import SMOOTHED_FROM, learning_curves, running_mean
from snn_plasticity_gym.report.runs import Group, Run


def run_of(label: str, **columns) -> Run:
    arrays = {name.replace("__", "/"): np.asarray(values, dtype=float) for name, values in columns.items()}
    return Run(Path(label), label, {}, {}, arrays)


IMAGES = [8, 16, 24]


def drawn(groups):
    """Axes by picture and title."""
    return {(p.name, a.get_title()): a for p in learning_curves(groups) for a in p.figure.axes if a.get_title()}


def test_each_quantity_has_a_panel_and_each_group_a_line():
    one = run_of("a", time__episodes=IMAGES, rollout__reward=[1, 2, 3], train__value_loss=[3, 2, 1])
    two = run_of("b", time__episodes=IMAGES, rollout__reward=[3, 3, 3], rollout__spikes_hidden_2=[0.1, 0.2, 0.3])
    axes = drawn([Group("a", [one]), Group("b", [two])])
    assert set(axes) == {
        ("curves_reward", "reward"),
        ("curves_learning", "spikes of hidden 2"),
        ("curves_learning", "value loss"),
    }
    lines = {line.get_label(): line for line in axes["curves_reward", "reward"].lines}
    assert lines["a"].get_xydata().tolist() == [[8, 1], [16, 2], [24, 3]]
    assert lines["b"].get_ydata().tolist() == [3, 3, 3] and lines["a"].get_color() != lines["b"].get_color()
    assert all("episodes" in one.get_xlabel() and one.get_ylabel() for one in axes.values())


def test_seeds_are_a_band_of_one_standard_deviation():
    runs = [run_of(str(k), time__episodes=IMAGES, rollout__reward=[k, 2 * k, 4 * k]) for k in range(3)]
    (axes,) = drawn([Group("all", runs)]).values()
    (line,) = [line for line in axes.lines if line.get_label() == "all"]
    np.testing.assert_allclose(line.get_ydata(), [1, 2, 4])
    corners = axes.collections[0].get_paths()[0].vertices
    for x, mean, spread in zip(IMAGES, (1, 2, 4), (1, 2, 4), strict=True):  # of 0, k, 2k: sd k
        heights = corners[corners[:, 0] == x, 1]
        assert (heights.min(), heights.max()) == pytest.approx((mean - spread, mean + spread))


def test_a_long_curve_is_drawn_with_its_running_mean():
    values = np.random.default_rng(0).normal(size=SMOOTHED_FROM + 20)
    run = run_of("a", time__episodes=np.arange(len(values)), rollout__reward=values)
    (axes,) = drawn([Group("a", [run])]).values()
    raw, smooth = (line.get_ydata() for line in axes.lines[:2])
    np.testing.assert_array_equal(raw, values)
    assert np.std(smooth) < 0.7 * np.std(values) and smooth[30] == pytest.approx(values[28:32].mean())


def test_running_means_at_the_ends_are_of_fewer_values():
    np.testing.assert_allclose(running_mean(np.array([1.0, 2.0, 6.0]), 3), [1.5, 3.0, 4.0])
    np.testing.assert_allclose(running_mean(np.array([1.0, 2.0]), 0), [1.0, 2.0])


def test_lengths_of_episodes_are_drawn_where_they_differ():
    columns = {"time__episodes": IMAGES, "rollout__reward": [1, 2, 3]}
    same, other = (run_of("a", **columns, rollout__episode_steps=steps) for steps in ([20, 20, 20], [20, 21, 20]))
    assert set(drawn([Group("a", [same])])) == {("curves_reward", "reward")}
    assert set(drawn([Group("a", [other])])) == {("curves_reward", "reward"), ("curves_reward", "length of episodes")}


def test_runs_that_logged_nothing_have_no_pictures():
    assert learning_curves([Group("a", [run_of("a", time__episodes=[])])]) == []
