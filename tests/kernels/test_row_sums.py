"""Sums of rows in vector registers, and pairs that go through a head's layers together, against NumPy."""

import numba
import numpy as np
import pytest

from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.row_sums import BLOCK, rectified_sum
from snn_plasticity_gym.kernels.waiting import PAIRS, evaluate_waiting, room_for_waiting, wait


@numba.njit
def _sum(matrix, bias, last, names, values, number):
    return rectified_sum(matrix, bias, last, names, values, number)


@numba.njit
def _evaluate(g, h, weights, kinds, posts, places, extras, rule, waiting, values):
    for p in range(len(weights)):
        wait(p, h[p], weights[p], kinds[p], posts[p], places[p], waiting)
    evaluate_waiting(g, len(weights), extras, rule, waiting, values)


def numbers(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("number", [0, 2, 6, 20])
def test_a_rectified_sum_of_rows(number):
    rng = np.random.default_rng(number)
    matrix, bias, last = numbers(rng, 9, BLOCK), numbers(rng, BLOCK), numbers(rng, BLOCK)
    names, values = rng.integers(9, size=20), numbers(rng, 20)
    wanted = last @ np.maximum(bias + values[:number].astype(np.float64) @ matrix[names[:number]], 0)
    assert _sum(matrix, bias, last, names, values, number) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("h1", "h2"), [(1, 1), (5, 7), (8, 32), (37, 45), (64, 96)])
@pytest.mark.parametrize("use_kind", [False, True])
def test_waiting_pairs_are_evaluated_by_the_layers(h1, h2, use_kind):
    """For a head among others, with scalars and kinds, as many pairs as there is room for and fewer."""
    rng, width, heads, g = np.random.default_rng(h1 + h2), 11, 3, 2
    inputs = 2 + 3 * use_kind  # weight, kinds, a scalar
    layers = {
        "features": numbers(rng, heads, width, h1),
        "first_bias": numbers(rng, heads, h1),
        "scalars": numbers(rng, heads, inputs, h1),
        "rows": numbers(rng, heads, h1, h2),
        "bias": numbers(rng, heads, h2),
        "last": numbers(rng, heads, h2),
        "last_bias": numbers(rng, heads),
    }
    nothing, table = np.zeros(0, np.int64), np.zeros((1, 1), np.float32)
    rule = HeadRule(
        margin=0, shift=nothing, first=nothing, row_offset=nothing, silent=table[0], alone=table, both=table, **layers,
        use_kind=use_kind, extras=np.zeros(1, np.int64), num_groups=heads, own=False,
    )  # fmt: skip
    waiting, extras = room_for_waiting(rule), numbers(rng, 1, 6)
    for count in (PAIRS, 3):
        h, weights, places = numbers(rng, count, width), numbers(rng, count), rng.permutation(PAIRS)[:count]
        kinds, posts = rng.integers(3, size=count), rng.integers(6, size=count)
        values = np.full(PAIRS, np.nan, np.float32)
        _evaluate(g, h, weights, kinds, posts, places, extras, rule, waiting, values)
        kind = np.eye(3)[kinds] if use_kind else np.zeros((count, 0))
        scalars = np.column_stack([weights, kind, extras[0, posts]])
        first = np.maximum(h @ layers["features"][g] + layers["first_bias"][g] + scalars @ layers["scalars"][g], 0)
        second = np.maximum(first @ layers["rows"][g] + layers["bias"][g], 0)
        wanted = second @ layers["last"][g] + layers["last_bias"][g]
        np.testing.assert_allclose(values[places], wanted, rtol=1e-4, atol=1e-3)
        assert np.isnan(np.delete(values, places)).all()
