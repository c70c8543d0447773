"""Numbers that users give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.utils.numbers_given import number, numbers, whole

ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.just([1, [2]]))


def test_good_numbers_are_taken():
    assert numbers("x", 2).tolist() == [2.0]
    assert numbers("x", (1, 2.5)).tolist() == [1.0, 2.5]
    assert numbers("x", 3, (2,)).tolist() == [3.0, 3.0]
    assert number("x", np.float32(0.5), least=0, most=1) == 0.5
    assert whole("x", np.int64(4), least=1) == 4


@given(ANYTHING)
def test_a_number_is_finite_and_within_or_refused_in_one_line(value):
    try:
        assert 0 <= number("chance", value, least=0, most=1) <= 1
    except ConfigError as error:
        assert str(error).startswith("chance must be")
        assert "\n" not in str(error)
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        assert not good


@given(ANYTHING)
def test_a_whole_number_is_one_or_refused(value):
    try:
        assert whole("fields", value, least=1) == value
    except ConfigError as error:
        assert str(error).startswith("fields must be a whole number of at least 1")
        assert not (type(value) is int and value >= 1)


@given(st.one_of(ANYTHING, st.lists(st.one_of(st.floats(), st.none()), max_size=3)))
def test_numbers_are_finite_or_refused(value):
    try:
        assert np.isfinite(numbers("mean", value)).all()
    except ConfigError as error:
        assert str(error).startswith("mean must be")


@pytest.mark.parametrize("given", [[1, 2], "a", [math.nan] * 3])
def test_numbers_of_a_shape(given):
    with pytest.raises(ConfigError, match="mean must be"):
        numbers("mean", given, (3,))
