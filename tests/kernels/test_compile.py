"""Where compiled code cannot be kept."""

import numba
import pytest

from snn_plasticity_gym.kernels.compile import compiled


def test_without_a_place_for_compiled_code_the_function_works_and_a_warning_says_what_it_costs(monkeypatch):
    plain = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    with monkeypatch.context() as patched, pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR"):
        patched.setattr(numba, "njit", njit)
        add = compiled()(lambda a, b: a + b)
    assert add(1, 2) == 3
