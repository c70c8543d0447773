"""Loops compiled for the CPU: what torch would do in dozens of small operations, done in one.

A torch operation costs some microseconds however little it works on, and a time step of one network is little work. So
where tensors live on the CPU the inner loops are functions compiled by numba, on NumPy views of the same memory; on
a GPU the torch code runs, which is also what the tests compare them with. Machine code is kept in `__pycache__`
beside the module, or in the folder `NUMBA_CACHE_DIR`, or, where the package lies in a read-only place, in the user's
cache; so a machine compiles once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(fast_sums: bool = False) -> Callable[[Function], Function]:
    """Compile a function on its first call.

    Args:
        fast_sums: Floating-point sums may be taken in any order and with fused multiplications, so that they use the
            processor's vectors. Without, results are those of the same steps in torch, bit by bit.
    """
    fast = {"reassoc", "contract", "nsz"} if fast_sums else False

    def decorate(function: Function) -> Function:
        options: dict[str, Any] = {"error_model": "numpy", "fastmath": fast, "nogil": True}
        try:
            compiled_function: Function = numba.njit(cache=True, **options)(function)
            return compiled_function
        except RuntimeError:  # numba's "no locator": neither beside the module nor at home can a file be written
            warnings.warn(
                "no folder can be written in which to keep compiled code, so every process compiles anew, which "
                "takes up to a minute; set NUMBA_CACHE_DIR to a folder that can be written",
                RuntimeWarning,
                stacklevel=1,  # one place for all functions, so that it is said once
            )
            uncached: Function = numba.njit(**options)(function)
            return uncached

    return decorate
