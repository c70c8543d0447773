"""Statistics of weight changes, added up: against NumPy, and where one is not a number."""

import numpy as np
import pytest

from snn_plasticity_gym.kernels.weights import add_changes


@pytest.mark.parametrize("heads", [1, 3])
def test_changes_of_all_lifetimes_and_images_are_added(heads: int) -> None:
    rng = np.random.default_rng(0)
    changes, sums = rng.standard_normal((3, 5, 4, heads)), rng.standard_normal((4, heads))
    expected = sums + changes.sum(axis=(0, 1))
    by_image = sums.copy()
    for image in changes:
        add_changes(image[None], by_image)
    assert add_changes(changes, sums) == -1
    np.testing.assert_allclose(sums, expected, rtol=1e-12)
    assert (sums == by_image).all()


def test_nothing_is_added_where_a_lifetime_has_nan() -> None:
    changes, sums = np.ones((2, 4, 4, 2)), np.ones((4, 2))
    changes[1, 2, 1, 1] = changes[1, 3, 0, 0] = np.nan
    assert add_changes(changes, sums) == 2
    assert (sums == 1.0 + 4.0).all()  # of the image before
