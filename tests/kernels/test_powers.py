"""Powers of many numbers are those of the library's function."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inlined import from_python

from snn_plasticity_gym.kernels.powers import powers

raise_all = from_python(powers)


@given(
    st.lists(st.floats(0.0, 1e6, allow_subnormal=False), min_size=1, max_size=40),
    st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(0.0, 20.0)),
)
def test_they_are_those_of_the_library(bases, exponent):
    results = np.full(len(bases) + 1, -1.0)
    raise_all(np.array(bases), exponent, results, len(bases))
    np.testing.assert_allclose(results[:-1], [base**exponent for base in bases], rtol=1e-12, atol=1e-300)
    assert results[-1] == -1.0  # beyond the count nothing is written


@pytest.mark.parametrize("exponent", [1e-3, 0.2, 400.0])
def test_their_ends(exponent):
    results = np.empty(4)
    raise_all(np.array([0.0, 1.0, 2.0**-53, math.nan]), exponent, results, 4)
    assert results[0] == 0.0
    assert results[1] == 1.0
    assert results[2] == pytest.approx(2.0 ** (-53 * exponent), rel=1e-12, abs=1e-300)
    assert math.isnan(results[3])
