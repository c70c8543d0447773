"""Moving weights: a synapse that does not exist is left alone, whatever the limits, and changes are counted."""

import numpy as np
import pytest
from inlined import from_python

from snn_plasticity_gym.kernels import synapses as inner
from snn_plasticity_gym.kernels.simulation import Spikes
from snn_plasticity_gym.kernels.synapses import Synapses

change_row, column_of = from_python(inner.change_row), from_python(inner.column_of)
change_column, change_part = from_python(inner.change_column), from_python(inner.change_part)


def spikes():
    """Of four neurons the third fires; it and the first have fired in this image.

    A type of the package: machine code of one of the tests' own could not be loaded by programs.
    """
    arrays = {name: np.zeros(4, np.int64) for name in Spikes._fields}
    ever = {"ever": np.array([0, 2, 0, 0]), "num_ever": np.array([2])}
    return Spikes(**arrays | ever | {"fires": np.array([False, False, True, False])})


def synapses(uses_eligibility=False, loops=True, recorded=False):
    """Four neurons onto themselves, with a lower limit above the 0 of synapses that do not exist."""
    matrix = np.full((4, 4), 0.5, np.float32)
    if loops:
        np.fill_diagonal(matrix, 0.0)
    numbers = dict.fromkeys(Synapses._fields, 0) | {"n_pre": 4, "n_post": 4, "merged": True}
    numbers |= {"keep": np.float32(0.5), "scale": np.float32(1.0), "low": np.float32(0.1), "high": np.float32(1.0)}
    numbers |= {
        "loops": loops,
        "matrix": matrix,
        "uses_eligibility": uses_eligibility,
        "eligibility": np.zeros((4, 4), np.float32),
    }
    seen = {name: np.zeros(4, np.int32) for name in ("rises", "falls")} | {"requested": np.zeros(4, np.float32)}
    seen |= {"changes": np.zeros(4), "totals": np.zeros((1, 2)), "fires": np.array([False, True, True, False])}
    return Synapses(**numbers | seen | {"recorded": recorded})


@pytest.mark.parametrize("uses_eligibility", [False, True])
def test_rows_and_columns(uses_eligibility):
    own, steps = synapses(uses_eligibility), np.array([0.1, 0.2, -0.3, 0.9], np.float32)
    change_row(1, steps, own)
    weights, members = np.zeros(5, np.float32), np.zeros(5, np.int64)
    assert column_of(3, spikes(), own, weights, members, True) == 1  # it has fired, and does not now
    assert members[0] == 0
    count = column_of(3, spikes(), own, weights, members, False)
    assert members[:count].tolist() == [0, 1]  # the third fires, the fourth is itself
    assert weights[:count].tolist() == own.matrix[[0, 1], 3].tolist()
    change_column(3, weights, members, count, np.array([0.25, -0.25], np.float32), own)
    change_part(2, np.array([own.matrix[2, 0]]), np.array([0]), 1, np.array([-0.6], np.float32), own)
    if uses_eligibility:
        assert own.changes.tolist() == [0, 0, 0, 0]
        expected = np.zeros((4, 4), np.float32)
        expected[1, [0, 2, 3]] = 0.05, -0.15, 0.45
        expected[[0, 1], 3] += 0.125, -0.125
        expected[2, 0] = -0.3
        np.testing.assert_allclose(own.eligibility, expected, atol=1e-7)
        return
    expected = np.full((4, 4), 0.5)
    np.fill_diagonal(expected, 0.0)
    expected[1, [0, 2, 3]] = 0.6, 0.2, 1.0  # clipped
    expected[[0, 1], 3] = 0.75, 0.75
    expected[2, 0] = 0.1  # clipped
    np.testing.assert_allclose(own.matrix, expected, atol=1e-7)
    made = np.array([0.1, -0.3, 0.5, 0.25, -0.25, -0.4])
    np.testing.assert_allclose(own.changes, [0, made.sum(), (made**2).sum(), 3], atol=1e-6)


def test_without_synapses_that_do_not_exist_a_row_is_whole():
    own = synapses(loops=False)
    change_row(1, np.full(4, 0.1, np.float32), own)
    np.testing.assert_allclose(own.matrix[1], 0.6)


def test_what_a_teacher_sees_is_what_was_asked_for():
    """Where the pre neuron fires, by post neuron, before limits; squares of all that was asked for."""
    own = synapses(recorded=True)
    change_row(1, np.array([0.1, 9.0, -0.3, 0.9], np.float32), own)  # the second synapse does not exist
    change_part(2, np.array([own.matrix[2, 0]]), np.array([0]), 1, np.array([-0.6], np.float32), own)
    change_column(3, np.full(2, 0.5, np.float32), np.array([0, 1]), 2, np.array([0.25, -0.25], np.float32), own)
    np.testing.assert_allclose(own.requested, [0.1 - 0.6, 0.0, -0.3, 0.9 - 0.25], atol=1e-6)
    assert own.rises.tolist() == [1, 0, 0, 1] and own.falls.tolist() == [1, 0, 1, 1]
    squares = np.square([0.1, -0.3, 0.9, -0.6, 0.25, -0.25]).sum()
    np.testing.assert_allclose(own.totals, [[0.0, squares]], rtol=1e-6)
