"""Ranges, edges and centres of receptive fields: closed forms, and which dimension lacks a bound."""

from statistics import NormalDist

import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.receptive_fields import (
    equal_edges,
    field_centres,
    measured_quantiles,
    normal_edges,
    observation_ranges,
)

CARTPOLE = Box(np.float32([-4.8, -np.inf, -0.4, -np.inf]), np.float32([4.8, np.inf, 0.4, np.inf]))


def test_the_spaces_bounds_are_taken():
    ranges = observation_ranges(Box(np.float32([-1.2, -0.07]), np.float32([0.6, 0.07])))
    assert ranges.low.tolist() == pytest.approx([-1.2, -0.07])
    assert ranges.high.tolist() == pytest.approx([0.6, 0.07])


def test_given_numbers_come_before_the_spaces():
    ranges = observation_ranges(CARTPOLE, low=(None, -3, None, -2), high=(2.4, 3, None, 2))
    assert ranges.low.tolist() == pytest.approx([-4.8, -3, -0.4, -2])
    assert ranges.high.tolist() == pytest.approx([2.4, 3, 0.4, 2])
    assert observation_ranges(CARTPOLE, -1, 1).high.tolist() == [1.0] * 4


def test_unbounded_dimensions_are_named():
    with pytest.raises(ConfigError, match="no bounds for observation 1, 3 of 4; give low and high"):
        observation_ranges(CARTPOLE)
    with pytest.raises(ConfigError, match="no bounds for observation 3 of 4"):
        observation_ranges(CARTPOLE, (None, -3, None, None), (None, 3, None, 3))


def test_the_largest_float_is_no_bound():
    largest = np.finfo(np.float32).max
    with pytest.raises(ConfigError, match="no bounds for observation 0 of 1"):
        observation_ranges(Box(-largest, largest, (1,)))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((1, 2), 3, "low must be one number or 4, one for each observation, got 2"),
        (1, 1, "high must be above low, got low 1 and high 1 for observation 0"),
        (-1, (1, 1, -1, 1), "high must be above low, got low -1 and high -1 for observation 2"),
        (float("nan"), 1, "low must be finite numbers"),
        ("wide", 1, "low must be numbers"),
    ],
)
def test_ranges_that_are_none(low, high, message):
    with pytest.raises(ConfigError) as caught:
        observation_ranges(CARTPOLE, low, high)
    assert str(caught.value).startswith(message.split(",")[0]) and message in str(caught.value)


def test_equal_edges_by_hand():
    assert equal_edges([0.0, -2.0], [10.0, 2.0], 4).tolist() == [[2.5, 5.0, 7.5], [-1.0, 0.0, 1.0]]
    assert equal_edges(0, 1, 1).shape == (1, 0)


def test_normal_edges_are_quantiles():
    edges = normal_edges([1.0, -0.00646], [2.0, 0.5], 20)
    assert edges.shape == (2, 19)
    for row, normal in zip(edges, (NormalDist(1.0, 2.0), NormalDist(-0.00646, 0.5)), strict=True):
        assert row.tolist() == pytest.approx([normal.inv_cdf(k / 20) for k in range(1, 20)])


def test_measured_quantiles_share_the_observations_out_evenly():
    observations = np.random.default_rng(0).gamma(2.0, size=(10_000, 2))
    for column, edges in enumerate(measured_quantiles(observations, 8)):
        bins = np.digitize(observations[:, column], edges)
        assert np.bincount(bins, minlength=8).tolist() == [1250] * 8


def test_centres_reach_both_ends():
    assert field_centres([0.0, -1.0], [3.0, 1.0], 4).tolist() == [
        [0, 1, 2, 3],
        pytest.approx([-1, -1 / 3, 1 / 3, 1]),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: equal_edges(0, 1, 0), "fields must be a whole number of at least 1, got 0"),
        (lambda: field_centres(0, 1, 1), "fields must be a whole number of at least 2, got 1"),
        (lambda: equal_edges([0, 0], [1], 3), "low and high must be as many, got 2 and 1"),
        (lambda: normal_edges(0, 0, 3), "std must be positive, got 0"),
        (lambda: normal_edges([0, 1], [1], 3), "mean and std must be as many, got 2 and 1"),
        (lambda: measured_quantiles(np.zeros((0, 2)), 3), "observations must be finite numbers of shape"),
        (lambda: measured_quantiles([1.0, 2.0], 3), "observations must be finite numbers of shape"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), max_size=5),
    st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), max_size=5),
)
def test_ranges_are_whole_or_refused_in_one_line(low, high):
    try:
        ranges = observation_ranges(CARTPOLE, low, high)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert (ranges.low < ranges.high).all() and np.isfinite([ranges.low, ranges.high]).all()
